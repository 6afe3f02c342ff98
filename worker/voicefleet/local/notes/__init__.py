"""Lets a language model of a hundred million parameters call tools: after each turn it writes a note, one line that a
grammar allows. The prompt, the grammar and the reading of the line; pure."""

"""Canaries: a version of an agent that gets a share of the calls, until its own figures promote it or roll it back."""

"""Fills forms: a responder that asks for what is missing and calls the agent's tool, by a YAML file and no model."""

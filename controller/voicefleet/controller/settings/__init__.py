"""The controller's settings file: its schema, and the frozen values that are made of it."""

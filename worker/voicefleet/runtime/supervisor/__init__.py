"""Processes that we start: watched, started again when they end, and ended for sure when we end."""

"""Builds the controller's parts from its settings: regions, fleets, HTTP routes, loops."""

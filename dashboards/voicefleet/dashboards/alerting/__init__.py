"""Objectives, alert rules and their runbooks."""

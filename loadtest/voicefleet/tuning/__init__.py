"""Finds the sweet spot of speed and quality by measurement: settings are raced on spoken tasks, and one is chosen.

`voicefleet tune` plays the same tasks against the candidate tiers of a space on a real fleet, drops the worse half
after each round, checks the choice once on tasks that it has not seen, and writes a tiers file that a fleet can run.
"""

"""Bounds applied after a policy, each a pure function of its own."""

"""Dashboards, rules and runbooks as code: what an SRE sees of a fleet."""

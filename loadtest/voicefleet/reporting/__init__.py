"""Figures, tables and verdicts that the demo, the load test and chaos runs share."""

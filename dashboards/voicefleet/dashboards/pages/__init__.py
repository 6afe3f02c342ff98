"""The panels of each dashboard, one module a dashboard."""

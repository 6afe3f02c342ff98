"""Input and output that every component shares: clock, logs, HTTP, Redis, claims."""

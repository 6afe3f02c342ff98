"""Commands that ask a running controller over its HTTP API: what each shows, and its exit code."""

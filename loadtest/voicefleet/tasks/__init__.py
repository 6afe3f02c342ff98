"""Short calls with a goal that a program can check: what callers say, and whether the agent did what they came for."""

"""No caller waits in silence: when the agent stays silent too long, a recorded sentence is played."""

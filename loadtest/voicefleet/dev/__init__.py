"""`voicefleet dev`: a fleet of one on this machine with a team's agent, reloaded on change, and calls to it."""

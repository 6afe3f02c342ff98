"""`voicefleet check`: what the fleet would do with a team's agent, found out without any server."""

"""The worker: one process that takes calls from LiveKit and runs a team's agent in a process per call."""

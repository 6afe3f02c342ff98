"""`voicefleet call` and `voicefleet loadtest`: one simulated call, or many, to any controller."""

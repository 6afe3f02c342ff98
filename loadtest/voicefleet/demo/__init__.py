"""`voicefleet demo`: a fleet on one machine, simulated callers with real speech, and a verdict."""

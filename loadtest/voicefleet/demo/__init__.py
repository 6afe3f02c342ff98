"""`voicefleet demo`: a whole fleet on one machine, real callers, and a verdict."""

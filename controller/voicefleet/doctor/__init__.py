"""`voicefleet doctor`: what this machine and these settings lack, and what to do about it."""

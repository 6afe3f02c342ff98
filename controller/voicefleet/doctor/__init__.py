"""`voicefleet doctor`: checks of this machine and of the servers it is to work with, each with a hint when it fails."""

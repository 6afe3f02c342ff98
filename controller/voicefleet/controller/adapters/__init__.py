"""The only modules of the controller that touch processes and LiveKit."""

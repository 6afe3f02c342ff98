"""What all commands share: options, files for results, the controller to ask, and numbers for people."""

"""Workers as processes of this machine, behind `Fleet`."""

"""The calls of a region: stored, dispatched, recovered and handed off."""

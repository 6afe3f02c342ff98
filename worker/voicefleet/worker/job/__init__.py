"""What runs in a job process: one call, from the room to its end."""

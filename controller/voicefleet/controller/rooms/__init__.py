"""What LiveKit reports of rooms: webhooks are fast, listings are complete."""

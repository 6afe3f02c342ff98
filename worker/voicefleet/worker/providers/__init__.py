"""What stands between a tier's providers and the session: limits, fallbacks, and an ear for failures."""

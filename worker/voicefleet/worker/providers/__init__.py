"""Between a tier's providers and the session: time limits, fallbacks, and the session itself."""

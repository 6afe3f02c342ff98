"""Offline speech recognition, replies and speech for a worker, and synthetic providers for load tests."""

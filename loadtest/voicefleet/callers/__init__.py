"""Simulated callers with real speech, and what each of them heard."""

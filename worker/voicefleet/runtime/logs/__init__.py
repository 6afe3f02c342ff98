"""Structured logs that never show secrets, and personal data only on request."""

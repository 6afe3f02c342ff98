"""API keys, roles and limits: who may request what."""

"""Callers held by `voicefleet-caller`, a Go program of ours (loadtest/caller): hundreds a core, everything decoded."""

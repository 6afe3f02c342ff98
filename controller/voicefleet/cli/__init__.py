"""The `voicefleet` command. Heavy imports stand inside the commands: `import livekit.agents` alone takes 3 s."""

"""Connections to Redis, its access rights, and the Lua scripts that change claims."""

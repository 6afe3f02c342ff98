"""What the agents of chaos scenarios find in their environment."""

from __future__ import annotations

import os

JOURNAL_VARIABLE = "VOICEFLEET_CHAOS_JOURNAL"


def journal_path() -> str:
    """The file that `working_agent` writes what it did to."""
    return os.environ[JOURNAL_VARIABLE]

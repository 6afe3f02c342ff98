"""The one place where the stack reads the environment of this process; everything else is handed a mapping."""

from __future__ import annotations

import os


def environment() -> dict[str, str]:
    """A copy of this process's environment, as it is now."""
    return dict(os.environ)  # a child must inherit it, and programs are looked for in its PATH

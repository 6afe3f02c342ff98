"""Result files: whether one can be written, and writing it as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from voicefleet.contract.errors import ConfigError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell gives it."""


def require_writable(path: Path, field: str) -> Path:
    """`path`, if a file can be written there: a run of minutes must not fail at its last line.

    Raises:
        ConfigError: there is no such directory, or it may not be written to; it names `field`.
    """
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise ConfigError(
            "the result cannot be written there",
            field=field,
            value=str(path),
            hint="Name a file in a directory that exists and that you may write to.",
        )
    return path


def write_json(path: Path | None, document: Any) -> None:
    """Write `document` to `path`; do nothing without a path."""
    if path is not None:
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def exit_code(*, passed: bool, complete: bool = True) -> int:
    """0 for a good result, 1 for a bad one, 130 for a run that Ctrl-C ended."""
    return INTERRUPTED if not complete else 0 if passed else 1

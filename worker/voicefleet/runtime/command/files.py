"""Files that the commands write."""

from __future__ import annotations

import os
from pathlib import Path

from voicefleet.contract.errors import ConfigError


def place_for_result(path: Path | None) -> Path | None:
    """The file for `--json`, if it can be written: a run of minutes must not fail at its last line.

    Raises:
        ConfigError: there is no such directory, or we may not write there.
    """
    return _place(path, "--json")


def place_for_report(path: Path | None) -> Path | None:
    """As `place_for_result`, for `--report`."""
    return _place(path, "--report")


def _place(path: Path | None, option: str) -> Path | None:
    if path is None:
        return None
    place = path.absolute().parent
    if path.is_dir() or not place.is_dir() or not os.access(path if path.exists() else place, os.W_OK):
        raise ConfigError(
            "the result cannot be written there",
            field=option,
            value=str(path),
            hint="Name a file in a directory that exists and that you may write to.",
        )
    return path

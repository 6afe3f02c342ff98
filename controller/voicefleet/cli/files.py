"""Files that the commands write."""

from __future__ import annotations

import os
from pathlib import Path

from voicefleet.contract.errors import ConfigError


def place_for_result(path: Path | None) -> Path | None:
    """The file for a result, if it can be written: a run of minutes must not fail at its last line.

    Raises:
        ConfigError: there is no such directory, or we may not write there.
    """
    if path is None:
        return None
    place = path.absolute().parent
    if path.is_dir() or not place.is_dir() or not os.access(path if path.exists() else place, os.W_OK):
        raise ConfigError(
            "the result cannot be written there",
            field="--json",
            value=str(path),
            way_out="Name a file in a directory that exists and that you may write to.",
        )
    return path

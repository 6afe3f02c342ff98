"""Checks of the files that commands are asked to write."""

from __future__ import annotations

from pathlib import Path

from voicefleet.reporting.result import require_writable


def place_for_result(path: Path | None) -> Path | None:
    """The file for `--json`. Raises ConfigError if it cannot be written."""
    return path and require_writable(path, "--json")


def place_for_report(path: Path | None) -> Path | None:
    """The file for `--report`. Raises ConfigError if it cannot be written."""
    return path and require_writable(path, "--report")

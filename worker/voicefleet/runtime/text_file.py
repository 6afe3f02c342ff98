"""Reads a text file that somebody named to us."""

from __future__ import annotations

from pathlib import Path

from voicefleet.contract.errors import ConfigError


def read_text(path: str | Path, *, field: str, hint: str) -> str:
    """The text in the file at `path`, UTF-8.

    Args:
        field: the option or setting that named it.
        hint: what to give instead.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"cannot be read ({reason})", field=field, value=str(path), hint=hint) from error

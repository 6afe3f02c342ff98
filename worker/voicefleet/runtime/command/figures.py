"""Numbers for people."""

from __future__ import annotations


def shown(value: float | None, unit: str = "", digits: int = 2) -> str:
    """A number for people; a dash for an unknown one."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}{unit}" if isinstance(value, float) else f"{value}{unit}"

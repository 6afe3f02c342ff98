"""Bounds of the options."""

from __future__ import annotations

from voicefleet.contract.errors import ConfigError


def require_between(name: str, value: float, low: float, high: float) -> None:
    """Refuse an option outside its bounds; not a number is outside too.

    Raises:
        ConfigError: it is.
    """
    if not low <= value <= high:
        raise ConfigError(
            f"must lie between {low:g} and {high:g}",
            field=f"--{name}",
            value=value,
            way_out="Choose a number in between.",
        )

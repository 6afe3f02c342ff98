"""Bounds of the options."""

from __future__ import annotations

from voicefleet.contract.errors import ConfigError


def require_between(name: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Refuse an option outside its bounds; not a number is outside too. `unit` explains the numbers.

    Raises:
        ConfigError: it is.
    """
    if not low <= value <= high:
        raise ConfigError(
            f"must lie between {low:g} and {high:g}" + (f" ({unit})" if unit else ""),
            field=f"--{name}",
            value=value,
            hint="Choose a number in between.",
        )

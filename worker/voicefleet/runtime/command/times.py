"""Moments as people give them on a command line: ``02:13``, ``2026-11-28T02:13``, ``3h`` (ago), ``now``. UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from voicefleet.contract.errors import ConfigError

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def moment(text: str, now: datetime, *, field: str) -> datetime:
    """The moment that `text` names, in UTC.

    Args:
        text: ``now``; a time ago (``90m``, ``3h``, ``2d``); a time of day, the last such one; or ISO 8601, in UTC where
            it names no zone.

    Raises:
        ConfigError: none of these.
    """
    said = text.strip()
    if said == "now":
        return now
    try:
        if ago := _AGO.fullmatch(said):
            return now - timedelta(seconds=float(ago[1]) * _UNITS_S[ago[2]])
        if clock := _CLOCK.fullmatch(said):
            at = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=int(clock[3] or 0), microsecond=0)
            return at if at <= now else at - timedelta(days=1)
        at = datetime.fromisoformat(said)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            "not a time", field=field, value=text, hint="Give 02:13, 2026-11-28T02:13, 3h (ago) or now; all in UTC."
        ) from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)

"""What every read has in common: its options, its answer, and a budget for each key.

Reads come from memory, but whoever reads all the time takes the loop from the calls. Each replica counts for itself and
without Redis: a dashboard shows most when Redis is away.
"""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel

from voicefleet.controller.http.problems import problem
from voicefleet.runtime.clock import Clock

READS_PER_MINUTE = 6_000
"""Fifty pages in browsers that each look every two seconds."""
_ROWS_A_UNIT = 100


class ReadBudget:
    """A budget for each key that fills up again with time: one unit for a read, and one for each `_ROWS_A_UNIT` rows
    that it asks for with `?limit=`.

    Args:
        per_minute: units a minute; as many may be spent at once.
    """

    def __init__(self, clock: Clock, per_minute: int = READS_PER_MINUTE) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._left: dict[str, tuple[float, float]] = {}

    def spend(self, key: str, units: float = 1.0) -> float | None:
        """None when the read may be, else the seconds until it may."""
        now = self._clock.monotonic()
        per_s = self._per_minute / 60
        left, at_s = self._left.get(key, (float(self._per_minute), now))
        left = min(self._per_minute, left + (now - at_s) * per_s)
        if left < units:
            self._left[key] = (left, now)
            return (units - left) / per_s
        self._left[key] = (left - units, now)
        return None

    def refusal(self, key: str, request: web.Request) -> web.Response | None:
        """429, or None when the read may be."""
        rows = number(request, "limit", 0, 1_000_000)
        wait_s = self.spend(key, 1 + (rows / _ROWS_A_UNIT if isinstance(rows, int) else 0))
        if wait_s is None:
            return None
        return problem(429, "too many reads", hint="Read less often.", retry_after_s=wait_s)


def number(request: web.Request, name: str, default: int, most: int) -> int | web.Response:
    """The option `name`, a whole number from 1 to `most`; or the answer 400."""
    text = request.query.get(name)
    if text is None:
        return default
    # Not every text of digits is a number for `int`: it refuses very long ones.
    if text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= most:
        return int(text)
    return problem(400, f"not a number from 1 to {most}", field=name, hint="Give such a one.")


def json_answer(answer: BaseModel) -> web.Response:
    """200 with `answer`. Pydantic's own JSON takes a fraction of the time of Python's."""
    return web.Response(text=answer.model_dump_json(), content_type="application/json")

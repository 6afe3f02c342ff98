"""One bounded wait for all tests: a condition is looked at until it holds, and a failure tells what the last look saw.

The limit is for a failure alone and judges no speed: on a machine that others use too, time tells nothing. How fast the
controller is, the tests of its loops judge in virtual time.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

LIMIT_S = 25.0
EVERY_S = 0.02


async def eventually(look: Callable[[], Any], limit_s: float = LIMIT_S, *, what: str = "") -> Any:
    """The first true value of `look`, a plain or an async function. `what` is waited for, for the message."""
    holds, value = await _looked(look, limit_s)
    if not holds:
        pytest.fail(f"did not happen within {limit_s:g} s{what and f': {what}'}; the last look saw {value!r}")
    return value


async def happens(look: Callable[[], Any], within_s: float) -> bool:
    """Whether `look` is true at some moment of the next `within_s`: for what must not happen."""
    return (await _looked(look, within_s))[0]


async def _looked(look: Callable[[], Any], limit_s: float) -> tuple[bool, Any]:
    clock = asyncio.get_running_loop().time
    deadline_s = clock() + limit_s
    while True:
        value = look()
        if inspect.isawaitable(value):
            value = await value
        if value or clock() >= deadline_s:
            return bool(value), value
        await asyncio.sleep(EVERY_S)

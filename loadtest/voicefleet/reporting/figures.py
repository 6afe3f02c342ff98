"""Tables and lines of what callers waited for and what became of their calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from voicefleet.runtime.command.figures import shown

_WAITS = (("wait_s", "wait for an agent"), ("greeting_s", "greeting"), ("ttfa_s", "TTFA"))


def waits_table(result: Mapping[str, Any], title: str) -> Table:
    """What callers waited for, of a result as `outcome.summary` gives it."""
    table = Table(title=title)
    table.add_column("")
    for name in ("p50", "p95", "longest"):
        table.add_column(name, justify="right")
    for name, what in _WAITS:
        table.add_row(what, *(shown(result[name][q], " s") for q in ("p50", "p95", "max")))
    return table


def counts_line(result: Mapping[str, Any]) -> str:
    """What became of calls and turns, in one line."""
    calls, turns = result["calls"], result["turns"]
    return (
        f"calls: {calls['answered']} of {calls['offered']} answered, {calls['silent']} silent, {calls['cut']} cut; "
        f"turns: {turns['answered']} of {turns['asked']} answered"
    )

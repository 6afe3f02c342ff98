"""Figures for people's eyes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

_WAITS = (("wait_s", "wait for an agent"), ("greeting_s", "greeting"), ("ttfa_s", "TTFA"))


def shown(value: float | None, unit: str = "", digits: int = 2) -> str:
    """A number for people; a dash for an unknown one."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}{unit}" if isinstance(value, float) else f"{value}{unit}"


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

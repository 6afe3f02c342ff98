"""Judges what the agents of `working_agent` wrote down: work done once, the right agent, each hook once. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

Entry = Mapping[str, Any]


def read_journal(text: str) -> list[Entry]:
    """The entries of a journal, in the order in which they were written."""
    return [json.loads(line) for line in text.splitlines() if line]


def journal_problems(entries: Sequence[Entry], rooms: Collection[str], *, cut: bool) -> list[str]:
    """What is wrong, a sentence each.

    Args:
        rooms: of the calls that are over.
        cut: the fault kills processes: work may be cut off then, and may be begun again.
    """
    found: list[str] = []
    of_room = {room: [entry for entry in entries if entry["room"] == room] for room in rooms}
    ends = Counter(entry["room"] for entry in entries if entry["what"] == "end")
    wrong_ends = {room: ends[room] for room in rooms if of_room[room] and ends[room] != 1}
    if wrong_ends:
        counts = sorted(wrong_ends.values())
        found.append(f"on_call_end was called {counts} times in {len(wrong_ends)} calls, and not once in each")
    back = sum(_went_back(lines) for lines in of_room.values())
    if back:
        found.append(f"{back} calls were back at their first agent")
    unfinished = 0 if cut else sum(_count(lines, "begun") != _count(lines, "booked") for lines in of_room.values())
    if unfinished:
        found.append(f"the work of {unfinished} calls was begun and not ended")
    return found


def _count(entries: Sequence[Entry], what: str) -> int:
    return sum(entry["what"] == what for entry in entries)


def _went_back(entries: Sequence[Entry]) -> bool:
    agents = [entry["agent"] for entry in entries if entry["what"] == "answer"]
    return "Billing" in agents and "Desk" in agents[agents.index("Billing") :]

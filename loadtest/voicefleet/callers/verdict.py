"""How a run of simulated calls is judged and shown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from voicefleet.callers.outcome import CallOutcome
from voicefleet.reporting.table import figures_table, shown

WAITS = {
    "join_s": "ticket in hand until in the room",
    "pickup_s": "intended start of a call until an agent was heard",
    "wait_s": "in the room until an agent was there",
    "greeting_s": "in the room until the greeting was heard",
    "ttfa_s": "end of a question until the answer (TTFA)",
}


def waits_table(result: Mapping[str, Any], title: str) -> Table:
    """What callers waited for, of a result as `outcome.summary` gives it."""
    table = figures_table(title, "", ("p50", "p95", "longest"))
    for name, what in WAITS.items():
        table.add_row(what, *(shown(result[name][q], " s") for q in ("p50", "p95", "max")))
    return table


def counts_line(result: Mapping[str, Any]) -> str:
    """The outcomes of calls and turns, in one line."""
    calls, turns = result["calls"], result["turns"]
    apologies = f", {turns['apologies']} apologies instead" if turns["apologies"] else ""
    return (
        f"calls: {calls['answered']} of {calls['offered']} answered, {calls['silent']} silent, {calls['cut']} cut; "
        f"turns: {turns['answered']} of {turns['asked']} answered{apologies}"
    )


def shortcomings(result: Mapping[str, Any], errors: Sequence[str] = ()) -> list[str]:
    """Why a run is not good, a sentence each; empty when every caller heard an answer to every turn and no call was
    cut.

    Args:
        result: as `outcome.summary` gives it.
        errors: of the calls that failed on the caller's side or at the connection (`errors_of`); such a call may
            have been greeted, so the counts alone do not tell.
    """
    calls, turns = result["calls"], result["turns"]
    offered, asked = calls["offered"], turns["asked"]
    found = []
    if calls["answered"] < offered:
        found.append(f"{offered - calls['answered']} of {offered} callers never got an answer")
    if calls["silent"]:
        found.append(f"{calls['silent']} of {offered} callers heard nothing for more than 10 s (silent)")
    if calls["cut"]:
        found.append(f"{calls['cut']} of {offered} callers lost the agent in mid-call (cut)")
    if turns["apologies"]:
        found.append(f"{turns['apologies']} of {asked} questions got an apology instead of an answer")
    if late := asked - turns["answered"] - turns["apologies"]:
        found.append(f"{late} of {asked} questions got no answer in time")
    if errors:
        found.append(f"{len(errors)} of {offered} calls failed, the first with: {errors[0]}")
    return found


def errors_of(outcomes: Sequence[CallOutcome]) -> list[str]:
    """The errors of the calls that failed."""
    return [outcome.error for outcome in outcomes if outcome.error is not None]


def faults(outcome: CallOutcome, questions: int) -> list[str]:
    """What was wrong with one call that had `questions` to ask; empty for a good one."""
    found = []
    if outcome.error is not None:
        found.append(f"it failed: {outcome.error}")
    if outcome.greeting_s is None:
        found.append("no agent was heard")
    if outcome.greeting_apology:
        found.append("an apology was heard in place of the greeting")
    if outcome.silent:
        found.append("the caller was left in silence for more than 10 s")
    if outcome.cut:
        found.append("it was cut")
    if apologies := sum(turn.apology for turn in outcome.turns):
        found.append(f"{apologies} of {questions} questions got an apology instead of an answer")
    if late := sum(not turn.answered and not turn.apology for turn in outcome.turns):
        found.append(f"{late} of {questions} questions got no answer in time")
    if not found and len(outcome.turns) < questions:
        found.append(f"only {len(outcome.turns)} of {questions} questions were asked")
    return found

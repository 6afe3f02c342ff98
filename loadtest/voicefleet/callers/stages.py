"""Where the time of an answer went: a caller's turn joined with what its worker measured of the same turn. Pure.

The worker's clock begins at the end of speech that it detected, and ends at its first audio; the caller's at its last
voiced sample, and ends at its ear. What the caller waited longer is the network's, both ways, and the playout's. The
worker's own time is laid out in the order in which a turn runs. A stage that ran beside an earlier one (an LLM that
began before the turn was certainly over) has only what was left of it after that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from voicefleet.callers.outcome import CallOutcome, TurnOutcome
from voicefleet.contract.call_events import CallSummary, CallTurn

PARTS = {
    "network": "network both ways, and the playout at the ear",
    "stt": "end of speech until the transcript",
    "endpointing": "what the end of the turn waited beyond that",
    "callback": "the agent's own code at the end of a turn",
    "llm": "LLM, until its first words",
    "tts": "TTS, until its first audio",
    "playout": "that audio until it left the worker, and what no stage tells",
}
"""In the order in which reports show them; of one turn they add up to its TTFA."""

_AFTER_THE_TURN = (("callback", "callback"), ("llm", "llm_ttft"), ("tts", "tts_ttfb"))
"""Part and stage, one after the other. Before them, both from the end of speech on: `stt` and `eou`."""


def parts_of(ttfa_s: float, turn: CallTurn) -> dict[str, float] | None:
    """Part -> seconds of a turn that the caller's ear measured as `ttfa_s`; None: the worker did not tell its own.

    `network` may be below zero by as much as the worker took the end of speech for earlier than it was.
    """
    whole_s, told = turn.ttfa_s, turn.stages
    if whole_s is None:
        return None
    at_s = min(whole_s, told.get("eou", told.get("stt", 0.0)))
    # A transcript that came after the turn was over was not waited for.
    stt_s = min(at_s, told.get("stt", 0.0))
    parts = {"network": ttfa_s - whole_s, "stt": stt_s, "endpointing": at_s - stt_s}
    for part, stage in _AFTER_THE_TURN:
        until_s = min(whole_s, at_s + told.get(stage, 0.0))
        parts[part], at_s = until_s - at_s, until_s
    return {**parts, "playout": whole_s - at_s}


def with_parts(outcome: CallOutcome, told: CallSummary) -> CallOutcome:
    """The call with `worker_ttfa_s` and `parts` of each turn for which they are known.

    A worker notes a turn once its answer was said, which is after the caller's question ended and before its next one
    did. That order tells which belong together: its clock, which counts from about the caller's join, is good enough
    for that, and for nothing finer.
    """
    answered = [turn for turn in told.turns if turn.ttfa_s is not None]
    ends_s = [turn.t0_s for turn in outcome.turns[1:]] + [float("inf")]
    turns = [_joined(turn, until_s, answered) for turn, until_s in zip(outcome.turns, ends_s, strict=True)]
    return replace(outcome, turns=tuple(turns))


def wanted_turns(outcome: CallOutcome) -> int:
    """Turns with a TTFA: those that can be joined."""
    return sum(turn.ttfa_s is not None for turn in outcome.turns)


def joined_turns(outcome: CallOutcome) -> int:
    """Those that were."""
    return sum(turn.parts is not None for turn in outcome.turns)


def part_samples(calls: Sequence[CallOutcome]) -> dict[str, list[float]]:
    """Seconds of each part, one sample a joined turn."""
    known = [turn.parts for call in calls for turn in call.turns if turn.parts is not None]
    return {part: [parts[part] for parts in known] for part in PARTS}


def _joined(turn: TurnOutcome, until_s: float, told: Sequence[CallTurn]) -> TurnOutcome:
    if turn.ttfa_s is None:
        return turn
    found = next((one for one in told if turn.t0_s <= one.at_s < until_s), None)
    parts: Mapping[str, float] | None = None if found is None else parts_of(turn.ttfa_s, found)
    if found is None or parts is None:
        return turn
    return replace(turn, worker_ttfa_s=found.ttfa_s, parts=parts)

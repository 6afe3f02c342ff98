"""Reads what the workers measured of a run's calls, after it, and joins it with what the callers heard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.stages import joined_turns, part_samples, wanted_turns, with_parts
from voicefleet.contract.call_events import CallSummary
from voicefleet.contract.errors import ConfigError, UnknownStateError, UnreachableError
from voicefleet.loadtest.figures import told_by_workers
from voicefleet.loadtest.thresholds import Condition
from voicefleet.runtime.clock import Clock

ReadCall = Callable[[CallOutcome], Awaitable[CallSummary | None]]
"""What is known of one call; None: there is no such call. Raises as `ControllerClient.call`."""

NO_CONTROLLER = "calls were not placed through a controller of voicefleet, and nobody else tells what its agents took"

_AT_ONCE = 8
_TRIES = 4
_AGAIN_S = 1.0
"""A worker notes a turn once its answer was said: within a second, unless Redis is away."""
_LIMIT_S = 60.0
_REFUSED = (401, 403)


@dataclass(frozen=True, slots=True)
class CallReads:
    """How the reading went. It adds up over runs.

    Attributes:
        calls: that had an answer, so a time to explain.
        read: of them, those that were found.
        unknown: those for which no answer came; the others are not known to the controller.
        why: why nothing was read, or not all; empty: it was.
    """

    calls: int = 0
    read: int = 0
    unknown: int = 0
    why: str = ""


async def with_stage_times(
    outcomes: Sequence[CallOutcome], read: ReadCall | None, clock: Clock
) -> tuple[tuple[CallOutcome, ...], CallReads]:
    """The calls, each turn with the parts of its TTFA where they are known; after the run, so as not to disturb it.

    Args:
        read: None: nobody tells.
    """
    wanted = [outcome for outcome in outcomes if wanted_turns(outcome)]
    if read is None:
        return tuple(outcomes), CallReads(len(wanted), why=NO_CONTROLLER)
    reader = _Reader(read, clock)
    found = await reader.read_all(wanted)
    joined = tuple(found.get(outcome.call_id, outcome) for outcome in outcomes)
    unknown = len(wanted) - len(found) - reader.absent
    return joined, CallReads(len(wanted), len(found), unknown, reader.why if unknown else "")


class _Reader:
    def __init__(self, read: ReadCall, clock: Clock) -> None:
        self.absent = 0
        self.why = ""
        self._read = read
        self._clock = clock
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._found: dict[str, CallOutcome] = {}
        self._refused = False

    async def read_all(self, outcomes: Sequence[CallOutcome]) -> dict[str, CallOutcome]:
        """Call id -> the call, those that were found."""
        try:
            async with asyncio.timeout(_LIMIT_S):
                await asyncio.gather(*(self._read_one(outcome) for outcome in outcomes))
        except TimeoutError:
            self.why = f"the controller took longer than {_LIMIT_S:g} s"
        return self._found

    async def _read_one(self, outcome: CallOutcome) -> None:
        absent = False
        for attempt in range(_TRIES):
            if attempt:
                await self._clock.sleep(_AGAIN_S)
            async with self._places:
                if self._refused:
                    return
                try:
                    told = await self._read(outcome)
                except UnreachableError as error:
                    self._refused, self.why = error.value in _REFUSED, str(error)
                    continue
                except UnknownStateError as error:
                    self.why = str(error)
                    continue
            absent = told is None
            if told is None:
                continue
            joined = self._found[outcome.call_id] = with_parts(outcome, told)
            if joined_turns(joined) == wanted_turns(outcome):
                return
        self.absent += absent and outcome.call_id not in self._found


def require_told(conditions: Sequence[Condition], read: ReadCall | None) -> None:
    """Refuse a condition on what only workers tell, where nobody asks them: it would break each run, unmeasured.

    Raises:
        ConfigError: it names the condition.
    """
    for condition in conditions if read is None else ():
        if told_by_workers(condition.name):
            raise ConfigError(
                f"{condition.name} is not known: {NO_CONTROLLER}",
                field="--fail-if",
                value=condition.text,
                hint="Call through --controller, or leave it out.",
            )


def stages_json(outcomes: Sequence[CallOutcome], reads: CallReads | None) -> dict[str, Any] | None:
    """What stands in a result about where the time went; None: nobody looked.

    Returns:
        ``{"calls", "read", "unknown", "why", "turns": with a TTFA, "joined": of them, "parts": {part: {"p50", "p95",
        "mean", "share"}}}``: seconds, and the share of the mean TTFA; empty without a joined turn.
    """
    if reads is None:
        return None
    turns = [turn for call in outcomes for turn in call.turns if turn.parts is not None]
    whole_s = sum(turn.ttfa_s or 0.0 for turn in turns)
    parts = {}
    if turns:
        for part, values in part_samples(outcomes).items():
            p50, p95 = np.quantile(np.asarray(values), (0.5, 0.95))
            mean = float(np.mean(values))
            share = mean * len(values) / whole_s if whole_s else None
            parts[part] = {"p50": float(p50), "p95": float(p95), "mean": mean, "share": share}
    wanted = sum(wanted_turns(call) for call in outcomes)
    return {**asdict(reads), "turns": wanted, "joined": len(turns), "parts": parts}


def stages_sentence(stages: Mapping[str, Any]) -> str:
    """What is not known of where the time went, in words; empty: all is."""
    if stages["why"] and not stages["read"]:
        return f"where the time went is not known: {stages['why']}"
    missing = stages["turns"] - stages["joined"]
    if not missing:
        return ""
    why = f": {stages['why']}" if stages["why"] else ""
    return f"of {missing} of {stages['turns']} answers it is not known where their time went{why}"

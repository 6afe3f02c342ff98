"""Time to first audio at the caller's ear, of two arms in turn."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.health import Health
from bench.row import Row, judged, say
from bench.stand import Arm, Stand, workers
from bench.statistics import Block, median, quantile, ratio_of_medians

from voicefleet.loadtest.caller import Caller
from voicefleet.loadtest.outcome import CallOutcome
from voicefleet.loadtest.swarm import SwarmSettings, script
from voicefleet.speech.clips import Utterance, load_utterances

CALLERS = 2
"""Calls at once, of the same arm: what an arm costs must slow only itself."""

_TIMEOUT_S = 10.0
_LOST_LIMIT_RATIO = 0.05
_rooms = itertools.count()


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: `blocks` times one arm, the other, the other, the one, with `CALLERS` calls each."""

    blocks: int
    turns: int

    @property
    def total_turns(self) -> int:
        return self.blocks * 4 * CALLERS * self.turns


async def platform_overhead(on: Stand, size: Size, command: str) -> Row:
    """What voicefleet adds to the answers of the same pipeline on livekit-agents alone."""
    return await _compare(
        "platform_overhead",
        on,
        Arm.BARE,
        size,
        bound=1.02,
        command=command,
        note="same providers, VAD and turn taking in both arms; both workers are up all the time",
    )


async def default_baseline(on: Stand, size: Size, command: str) -> Row:
    """What voicefleet's tuning gains on what a newcomer gets."""
    return await _compare(
        "default_baseline",
        on,
        Arm.DEFAULTS,
        size,
        bound=1.0,
        command=command,
        note="same synthetic stage latencies; theirs is AgentSession(stt, llm, tts) with every default, offline "
        "(production mode: turn detector v1-mini); the bound only says that ours is not slower",
    )


async def _compare(name: str, on: Stand, other: Arm, size: Size, *, bound: float, command: str, note: str) -> Row:
    health = Health()
    tally = _Tally()
    blocks = []
    async with workers(on, [Arm.VOICEFLEET, other]):
        for arm in (Arm.VOICEFLEET, other):  # the first call of a worker pays for its first imports
            await _calls(on, arm, _scripts(0, 1))
        for number in range(size.blocks):
            scripts = _scripts(1 + number, size.turns)
            first, second = (Arm.VOICEFLEET, other) if number % 2 == 0 else (other, Arm.VOICEFLEET)
            samples: dict[Arm, list[float]] = {Arm.VOICEFLEET: [], other: []}
            for arm in (first, second, second, first):
                async with health.watch():
                    outcomes = await _calls(on, arm, scripts)
                samples[arm] += tally.count(outcomes, size.turns)
            blocks.append(Block(samples[Arm.VOICEFLEET], samples[other]))
            say(f"{name} {number + 1}/{size.blocks}: {_p50(blocks[-1].ours)} against {_p50(blocks[-1].theirs)}")
    if tally.lost > _LOST_LIMIT_RATIO * size.total_turns:
        health.complaints.append(f"{tally.lost} of {size.total_turns} turns gave no figure: {tally.describe()}")
    ours = [s for block in blocks for s in block.ours]
    theirs = [s for block in blocks for s in block.theirs]
    values = {"voicefleet": _figures(ours), other.value.removeprefix("bench-"): _figures(theirs), **tally.to_json()}
    return judged(name, len(ours) + len(theirs), values, ratio_of_medians(blocks), bound, health, command, note)


def _scripts(number: int, turns: int) -> list[tuple[Utterance, ...]]:
    """The same questions for every call of a block, so that no arm has the easier ones."""
    settings = SwarmSettings(turns=turns, seed=number)
    return [script(number * CALLERS + i, settings, load_utterances()) for i in range(CALLERS)]


async def _calls(on: Stand, arm: Arm, scripts: Sequence[tuple[Utterance, ...]]) -> list[CallOutcome]:
    rooms = [f"bench-{next(_rooms)}" for _ in scripts]
    callers = [Caller(room, on.ticket(arm, room), said) for room, said in zip(rooms, scripts, strict=True)]
    return list(await asyncio.gather(*(caller.run() for caller in callers)))


@dataclass
class _Tally:
    """Turns that gave no plain figure, of both arms."""

    failed_calls: int = 0
    not_asked: int = 0
    cut_in: int = 0
    unanswered: int = 0

    @property
    def lost(self) -> int:
        return self.not_asked + self.cut_in + self.unanswered

    def count(self, outcomes: Sequence[CallOutcome], turns: int) -> list[float]:
        """The samples: a turn without an answer counts as the time-out, a reply that cut in has no figure."""
        samples = []
        for outcome in outcomes:
            self.failed_calls += outcome.error is not None or not outcome.answered
            self.not_asked += turns - len(outcome.turns)
            for turn in outcome.turns:
                if turn.ttfa_s is not None:
                    samples.append(turn.ttfa_s)
                elif turn.answered:
                    self.cut_in += 1
                else:
                    self.unanswered += 1
                    samples.append(max(turn.waited_s, _TIMEOUT_S))
        return samples

    def describe(self) -> str:
        return ", ".join(f"{value} {key}" for key, value in self.to_json().items() if value)

    def to_json(self) -> dict[str, int]:
        return {
            "failed_calls": self.failed_calls,
            "turns_not_asked": self.not_asked,
            "turns_cut_in": self.cut_in,
            "turns_unanswered": self.unanswered,
        }


def _p50(samples: Sequence[float]) -> str:
    return f"{median(samples):.3f} s" if samples else "nothing"


def _figures(samples: Sequence[float]) -> dict[str, Any]:
    return {
        "turns": len(samples),
        "ttfa_p50_s": round(median(samples), 4) if samples else None,
        "ttfa_p95_s": round(quantile(samples, 0.95), 4) if samples else None,
    }

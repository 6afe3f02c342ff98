"""Time to first audio at the caller's ear, of two arms in turn."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.cpu import cpu_seconds
from bench.health import Health
from bench.row import Row, judged, say
from bench.stand import Arm, Stand, workers
from bench.statistics import Block, median, quantile, ratio_of_medians

from voicefleet.callers.caller import Caller
from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.swarm import SwarmSettings, script
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


@dataclass
class Tally:
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


async def platform_overhead(name: str, on: Stand, size: Size, command: str, ours: Arm = Arm.VOICEFLEET) -> Row:
    """What voicefleet adds to the answers of the same pipeline on livekit-agents alone."""
    return await compare(
        name,
        on,
        Arm.BARE,
        size,
        bound=1.02,
        command=command,
        note="same providers, VAD and turn taking in both arms; both workers are up all the time",
        ours=ours,
    )


async def default_baseline(on: Stand, size: Size, command: str) -> Row:
    """What voicefleet's tuning gains on what a newcomer gets."""
    return await compare(
        "default_baseline",
        on,
        Arm.DEFAULTS,
        size,
        bound=1.0,
        command=command,
        note="same synthetic stage latencies; theirs is AgentSession(stt, llm, tts) with every default, offline "
        "(production mode: turn detector v1-mini); the bound only says that ours is not slower",
    )


async def compare(
    name: str,
    on: Stand,
    other: Arm,
    size: Size,
    *,
    bound: float,
    command: str,
    note: str,
    ours: Arm = Arm.VOICEFLEET,
) -> Row:
    """TTFA of `ours` by that of `other`, in turn."""
    run = await interleave(name, on, ours, other, size)
    return run.row(name, ours, other, bound, command, note)


@dataclass(frozen=True, slots=True)
class Interleaved:
    """Two arms in turn. Attributes: `ttfa_s` and `cpu_s`, a block for every one, the second of the whole workers."""

    ttfa_s: Sequence[Block]
    cpu_s: Sequence[Block]
    tally: Tally
    health: Health

    def row(self, name: str, ours: Arm, other: Arm, bound: float, command: str, note: str) -> Row:
        """TTFA of `ours` by that of `other`."""
        mine = [s for block in self.ttfa_s for s in block.ours]
        theirs = [s for block in self.ttfa_s for s in block.theirs]
        values = {
            ours.value.removeprefix("bench-"): _figures(mine),
            other.value.removeprefix("bench-"): _figures(theirs),
            **self.tally.to_json(),
        }
        ratio = ratio_of_medians(self.ttfa_s)
        return judged(name, len(mine) + len(theirs), values, ratio, bound, self.health, command, note)


async def interleave(name: str, on: Stand, ours: Arm, other: Arm, size: Size) -> Interleaved:
    """The same calls to both, the one, the other, the other, the one."""
    health, tally = Health(), Tally()
    ttfa_s, cpu_s = [], []
    async with workers(on, [ours, other]) as pids:
        for arm in (ours, other):  # the first call of a worker pays for its first imports
            await calls_of(on, arm, scripts(0, 1))
        for number in range(size.blocks):
            said = scripts(1 + number, size.turns)
            first, second = (ours, other) if number % 2 == 0 else (other, ours)
            samples: dict[Arm, list[float]] = {ours: [], other: []}
            spent: dict[Arm, list[float]] = {ours: [], other: []}
            for arm in (first, second, second, first):
                before_s = cpu_seconds(pids[arm])
                async with health.watch():
                    outcomes = await calls_of(on, arm, said)
                spent[arm].append(cpu_seconds(pids[arm]) - before_s)
                samples[arm] += tally.count(outcomes, size.turns)
            ttfa_s.append(Block(samples[ours], samples[other]))
            cpu_s.append(Block(spent[ours], spent[other]))
            say(
                f"{name} {number + 1}/{size.blocks}: {_p50(samples[ours])} against {_p50(samples[other])}, "
                f"CPU {sum(spent[ours]):.2f} s against {sum(spent[other]):.2f} s"
            )
    if tally.lost > _LOST_LIMIT_RATIO * size.total_turns:
        health.complaints.append(f"{tally.lost} of {size.total_turns} turns gave no figure: {tally.describe()}")
    return Interleaved(ttfa_s, cpu_s, tally, health)


def scripts(number: int, turns: int) -> list[tuple[Utterance, ...]]:
    """The same questions for every call of a block, so that no arm has the easier ones."""
    settings = SwarmSettings(turns=turns, seed=number)
    return [script(number * CALLERS + i, settings, load_utterances()) for i in range(CALLERS)]


async def calls_of(on: Stand, arm: Arm, said: Sequence[tuple[Utterance, ...]]) -> list[CallOutcome]:
    """A call of `arm` for each script, at once."""
    rooms = [f"bench-{next(_rooms)}" for _ in said]
    callers = [Caller(room, on.ticket(arm, room), texts) for room, texts in zip(rooms, said, strict=True)]
    return list(await asyncio.gather(*(caller.run() for caller in callers)))


def _p50(samples: Sequence[float]) -> str:
    return f"{median(samples):.3f} s" if samples else "nothing"


def _figures(samples: Sequence[float]) -> dict[str, Any]:
    return {
        "turns": len(samples),
        "ttfa_p50_s": round(median(samples), 4) if samples else None,
        "ttfa_p95_s": round(quantile(samples, 0.95), 4) if samples else None,
    }

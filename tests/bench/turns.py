"""Where the time of a turn goes, and what each step towards a faster one gains and costs.

The same calls to each tier of `turns.yaml`, in turn and in changing order. Questions are asked as they are, which
gives TTFA, and with a pause put into them, which gives cut-ins: how often the agent spoke into a question that went on.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from bench.cpu import cpu_seconds
from bench.health import Health
from bench.hops import HOPS
from bench.row import Row, judged, say
from bench.stand import Arm, Stand, workers
from bench.statistics import Block, median, quantile, ratio_of_medians, ratio_of_sums

from voicefleet.callers.caller import Caller
from voicefleet.callers.outcome import CallOutcome
from voicefleet.speech.clips import Utterance, load_utterances

STEPS = ("before", "frames", "words", "voice", "shipped")
PAUSES_S = (0.10, 0.16, 0.20, 0.24, 0.28, 0.32, 0.40, 0.50)
"""What is put into a question: about where the silences of `turns.yaml` end a turn."""

BOUND = 0.85
_CALLS = 4
_REST_S = 4.0
"""Between two rounds: as many job processes as calls are warm again."""
_TIMEOUT_S = 10.0
_rooms = itertools.count()


@dataclass
class Step:
    """What was measured of one tier, a list for each round."""

    ttfa_s: list[list[float]] = field(default_factory=list)
    hops_s: dict[str, list[float]] = field(default_factory=lambda: {hop: [] for hop in HOPS})
    cut_in: dict[float, list[bool]] = field(default_factory=lambda: {pause: [] for pause in PAUSES_S})
    cpu_s: list[float] = field(default_factory=list)
    call_s: list[float] = field(default_factory=list)
    lost: int = 0

    def to_json(self) -> dict[str, Any]:
        ttfa = [s for samples in self.ttfa_s for s in samples]
        asked = [cut for cuts in self.cut_in.values() for cut in cuts]
        return {
            "ttfa_p50_s": round(median(ttfa), 3),
            "ttfa_p95_s": round(quantile(ttfa, 0.95), 3),
            "turns": len(ttfa),
            "since_last_sound_p50_s": {hop: round(median(s), 3) for hop, s in self.hops_s.items() if s},
            "cut_ins": sum(asked),
            "questions_with_a_pause": len(asked),
            "cut_ins_by_pause": {str(pause): f"{sum(cuts)}/{len(cuts)}" for pause, cuts in self.cut_in.items()},
            "cpu_s_per_call_minute": round(60 * sum(self.cpu_s) / sum(self.call_s), 2),
            "turns_without_a_figure": self.lost,
        }


async def turn_speed(on: Stand, rounds: int, command: str) -> Row:
    """Every step, interleaved; judged by TTFA of what ships against what shipped before."""
    health, steps = Health(), {name: Step() for name in STEPS}
    hops = on.directory / "hops.jsonl"
    hops.touch()
    on.extra_environment["BENCH_HOPS_FILE"] = str(hops)
    # Nobody comes back, and the slots of a round are those of the next one.
    on.extra_environment["VOICEFLEET_RETURN_WAIT_S"] = "0"
    async with workers(on, [Arm.TURNS]) as pids:
        await _round(on, "before", 0, pids[Arm.TURNS], Step(), hops)
        for number in range(rounds):
            for name in STEPS if number % 2 == 0 else STEPS[::-1]:
                async with health.watch():
                    await _round(on, name, number, pids[Arm.TURNS], steps[name], hops)
            said = (f"{name} {median(step.ttfa_s[-1]):.3f} s" for name, step in steps.items() if step.ttfa_s[-1])
            say(f"turn_speed {number + 1}/{rounds}: {', '.join(said)}")
    before, shipped = steps["before"], steps["shipped"]
    blocks = [Block(ours, theirs) for ours, theirs in zip(shipped.ttfa_s, before.ttfa_s, strict=True)]
    values: dict[str, Any] = {name: step.to_json() for name, step in steps.items()}
    for name, step in steps.items():
        cut = [Block(a, b) for a, b in zip(_cuts(step, rounds), _cuts(before, rounds), strict=True)]
        values[name]["cut_ins_ratio_to_before"] = _estimate(cut) if any(any(b.theirs) for b in cut) else None
        against = [Block(a, b) for a, b in zip(step.ttfa_s, before.ttfa_s, strict=True)]
        estimate = ratio_of_medians(against)
        values[name]["ttfa_ratio_to_before"] = [round(v, 3) for v in (estimate.value, estimate.lo, estimate.hi)]
    note = "synthetic stages: STT 20 ms, LLM 50 ms, TTS 20 ms; each step has the one before it and one thing more"
    count = sum(len(samples) for samples in shipped.ttfa_s) + sum(len(samples) for samples in before.ttfa_s)
    return judged("turn_speed", count, values, ratio_of_medians(blocks), BOUND, health, command, note)


def _cuts(step: Step, rounds: int) -> list[list[float]]:
    """Cut-ins by round: each round asks every pause equally often."""
    parts: list[list[float]] = [[] for _ in range(rounds)]
    for cuts in step.cut_in.values():
        for number, chunk in enumerate(np.array_split(cuts, rounds)):
            parts[number] += [float(cut) for cut in chunk]
    return parts


def _estimate(blocks: Sequence[Block]) -> list[float]:
    estimate = ratio_of_sums(blocks)
    return [round(v, 3) for v in (estimate.value, estimate.lo, estimate.hi)]


async def _round(on: Stand, tier: str, number: int, pid: int, step: Step, hops: Path) -> None:
    """`_CALLS` calls at once, which between them ask every pause once, and as many questions without one."""
    scripts = [_script(number, i) for i in range(_CALLS)]
    seen, before_s = hops.stat().st_size, cpu_seconds(pid)
    rooms = [f"turns-{next(_rooms)}" for _ in scripts]
    outcomes = await asyncio.gather(
        *(
            Caller(room, on.ticket(Arm.TURNS, room, tier), [utterance for utterance, _ in script]).run()
            for room, script in zip(rooms, scripts, strict=True)
        )
    )
    step.cpu_s.append(cpu_seconds(pid) - before_s)
    await asyncio.sleep(_REST_S)
    step.call_s.append(sum(outcome.ended_s for outcome in outcomes))
    noted = [json.loads(line) for line in hops.read_bytes()[seen:].splitlines()]
    step.ttfa_s.append([])
    for outcome, script in zip(outcomes, scripts, strict=True):
        mine = [line for line in noted if line["room"] == outcome.room]
        _count(outcome, [pause for _, pause in script], mine, step)


def _count(outcome: CallOutcome, pauses: Sequence[float], noted: Sequence[Mapping[str, Any]], step: Step) -> None:
    step.lost += len(pauses) - len(outcome.turns)
    for turn, pause in zip(outcome.turns, pauses, strict=False):
        if pause:
            step.cut_in[pause].append(turn.cut_in)
            continue
        if turn.ttfa_s is None:
            step.lost += 1
            if not turn.answered:
                step.ttfa_s[-1].append(max(turn.waited_s, _TIMEOUT_S))
            continue
        step.ttfa_s[-1].append(turn.ttfa_s)
        t0_s = (outcome.joined_at_s or 0.0) + turn.t0_s
        for hop in HOPS:
            times = [line["t_s"] - t0_s for line in noted if line["what"] == hop]
            # The last one before the reply was heard: early ones may have been thrown away.
            if within := [t for t in times if -0.1 < t < turn.ttfa_s]:
                step.hops_s[hop].append(within[-1])


def _script(number: int, caller: int) -> list[tuple[Utterance, float]]:
    """Questions with and without a pause, in turn: the same for every step."""
    clips = load_utterances()
    mine = PAUSES_S[caller::_CALLS]
    chosen = [clips[(7 * number + 5 * i + 13 * caller) % len(clips)] for i in range(2 * len(mine))]
    script = []
    for i, pause in enumerate(mine):
        script += [(chosen[2 * i], 0.0), (with_pause(chosen[2 * i + 1], pause), pause)]
    return script


def with_pause(utterance: Utterance, pause_s: float) -> Utterance:
    """The utterance with `pause_s` seconds of silence put in where it is quietest, between its first third and its
    last."""
    rate = utterance.sample_rate
    start, end = utterance.speech_start_sample, utterance.speech_end_sample
    window = rate // 50
    lo, hi = start + (end - start) // 3, end - (end - start) // 3
    energy = np.convolve(utterance.samples[lo:hi].astype(np.float64) ** 2, np.ones(window), "valid")
    at = lo + int(np.argmin(energy)) + window // 2
    silence = np.zeros(round(pause_s * rate), dtype=np.int16)
    samples = np.concatenate((utterance.samples[:at], silence, utterance.samples[at:]))
    return replace(utterance, samples=samples, speech_end_sample=end + silence.size)

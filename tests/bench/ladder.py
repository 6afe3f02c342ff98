"""A burst of twice the CPU, on a worker that keeps its best tier and on one with a ladder.

Both tiers are real work, none is played: Whisper base that computes 30 s for every question with five hypotheses, and
begins in each silence; and Whisper tiny that computes 10 s with one. A burst is as many calls at once as take twice the
machine's CPU on the best tier, by what one call alone was seen to take with its caller and LiveKit; as many as take all
of it once are what the ladder is told the best tier is for. Success is the answer to the question that was asked. Job
processes are warm: how fast they start is another matter. The Go engine holds the callers: the Python one takes as much
of the CPU for itself as a call on the faster tier.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from bench.cpu import cpu_seconds
from bench.health import Health
from bench.replies import FILE_VARIABLE
from bench.row import Row, say
from bench.stand import TIERS, Stand, registered
from bench.statistics import quantile, ratio_of_quantiles
from livekit import api
from livekit.agents import llm

from voicefleet.callers.caller import Caller, CallerSettings
from voicefleet.callers.dense.engine import DenseEngine
from voicefleet.callers.outcome import CallOutcome, TurnOutcome
from voicefleet.contract.api import CallTicket
from voicefleet.local.responder import Responder
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.speech.clips import Utterance, load_utterances, voices

BOUND = 1.5
"""Of the TTFA p95 without load: what the ladder is to keep, and the best tier alone is not."""
_BUDGET = 1.2
"""Of the TTFA p95 without load: what the ladder steps down for, sooner than the bound."""
BURST = 2.0
"""Times the machine's CPU."""
MOST_CALLS = 12
EVERY_S = 0.5
"""Between two calls of a burst."""
_SLOTS = MOST_CALLS + 2
"""A call that has just ended has its slot for a moment more, and nobody dispatches again here."""

_AGENT = "bench-ladder"
_WARM, _WARM_LIMIT_S = b"process initialized", 90.0
_TIMEOUT_S = 10.0
_rooms = itertools.count()


@dataclass
class Heard:
    """What callers heard: TTFAs, a list for each call. A turn without an answer counts with 10 s or more."""

    ttfa_s: list[list[float]] = field(default_factory=list)
    asked: int = 0
    right: int = 0

    def to_json(self) -> dict[str, Any]:
        ttfa = [one for call in self.ttfa_s for one in call]
        return {
            "calls": len(self.ttfa_s),
            "turns": self.asked,
            "ttfa_p50_s": round(quantile(ttfa, 0.5), 3),
            "ttfa_p95_s": round(quantile(ttfa, 0.95), 3),
            "success_ratio": round(self.right / self.asked, 3),
        }


async def ladder(on: Stand, questions: int, command: str) -> Row:
    """One call alone, then a burst on either worker; judged by the ladder's TTFA p95 against that of the call alone."""
    async with DenseEngine() as engine:
        return await _compared(on, CallerSettings(engine=engine), questions, command)


async def _compared(on: Stand, callers: CallerSettings, questions: int, command: str) -> Row:
    health, bursts = Health(), dict[str, Heard]()
    async with _worker(on, "fixed", {}, callers):
        async with health.watch():
            before_s = cpu_seconds(os.getpid())
            began = [await _calls(on, callers, 1, questions) for _ in range(2)]
            cores = (cpu_seconds(os.getpid()) - before_s) / sum(outcome.ended_s for one in began for outcome in one)
        alone = _judged([outcome for one in began for outcome in one], questions, on)
        p95_s = quantile([ttfa_s for call in alone.ttfa_s for ttfa_s in call], 0.95)
        calls = min(MOST_CALLS, math.ceil(BURST * (os.cpu_count() or 1) / cores))
        say(f"ladder: one call alone takes {cores:.2f} cores, TTFA p95 {p95_s:.3f} s: a burst is {calls} calls")
        # Unwatched: it is meant to be too much for the machine.
        bursts["fixed"] = _judged(await _calls(on, callers, calls, questions), questions, on)
    rules = {
        "order": ["best", "fast"],
        "calls": [max(1, int((os.cpu_count() or 1) / cores))],
        "ttfa_s": round(_BUDGET * p95_s, 2),
        "down_after_s": 1.0,
        "up_after_s": 600.0,
    }
    async with _worker(on, "ladder", {"ladder": rules}, callers) as worker, health.watch():
        bursts["ladder"] = _judged(await _calls(on, callers, calls, questions), questions, on)
        stepped = worker.log_path.read_text().count("stepped down the ladder of tiers")
    say(f"ladder: {', '.join(f'{name} {heard.to_json()}' for name, heard in bursts.items())}, {stepped} steps down")
    held = ratio_of_quantiles(bursts["ladder"].ttfa_s, alone.ttfa_s, 0.95)
    lost = ratio_of_quantiles(bursts["fixed"].ttfa_s, alone.ttfa_s, 0.95)
    void = health.void()
    met = held.hi <= BOUND < lost.lo
    return Row(
        name="ladder",
        n=sum(heard.asked for heard in (alone, *bursts.values())),
        values={
            "cores_of_one_call": round(cores, 2),
            "calls_of_a_burst": calls,
            "alone": alone.to_json(),
            **{f"burst_{name}": heard.to_json() for name, heard in bursts.items()},
            "calls_of_the_best_tier": rules["calls"],
            "steps_down": stepped,
            "fixed_ttfa_p95_ratio": [round(v, 2) for v in (lost.value, lost.lo, lost.hi)],
        },
        ratio=round(held.value, 2),
        interval=(round(held.lo, 2), round(held.hi, 2)),
        bound=BOUND,
        verdict="void" if void else "met" if met else "missed",
        why="; ".join(void) or "ratio: TTFA p95 of the burst on the ladder by that of one call alone",
        health=health.to_json(),
        command=command,
    )


def _tiers(ladder: Mapping[str, Any]) -> dict[str, Any]:
    """The tiers file; `ladder`: its field, or nothing."""

    def tier(stt: str, early: bool | dict[str, float], **args: int) -> dict[str, Any]:
        return {
            "preemptive_generation": early,
            "stt": {"plugin": f"voicefleet.local.whisper_stt:{stt}", "args": args},
            "llm": {"plugin": "voicefleet.local.responder:Responder"},
            "tts": {"plugin": "voicefleet.local.flite_tts:FliteTTS", "args": {"voice": "slt"}},
            "vad": {"min_silence_s": 0.3},
            "endpointing": {"min_delay_s": 0.2, "max_delay_s": 1.0},
            "audio_input": {"frame_ms": 20, "sample_rate": 16000},
        }

    return {
        "default": "best",
        "tiers": {
            "best": tier("WhisperBaseSTT", {"after_s": 0.1, "tries": 3}, window_s=30, beam_size=5),
            "fast": tier("WhisperSTT", False, window_s=10, beam_size=1),
        },
        **ladder,
    }


@contextlib.asynccontextmanager
async def _worker(on: Stand, name: str, ladder: Mapping[str, Any], callers: CallerSettings) -> AsyncIterator[Child]:
    """A worker for the block: it has warm processes for a burst, and has had its first call."""
    file = on.directory / f"ladder-{name}.yaml"
    file.write_text(yaml.safe_dump(_tiers(ladder)))
    program = [sys.executable, "-m", "voicefleet.cli.app", "worker", "--tiers", str(file)]
    child = Child(
        f"ladder-{name}",
        [*program, "--agent", "bench.replies:create"],
        log_path=on.directory / f"ladder-{name}.log",
        env={
            "LIVEKIT_URL": on.livekit.url,
            "LIVEKIT_API_KEY": on.livekit.api_key,
            "LIVEKIT_API_SECRET": on.livekit.api_secret,
            "PYTHONPATH": str(TIERS.parent.parent),
            "VOICEFLEET_REDIS_URL": on.redis.url,
            "VOICEFLEET_REGION": "bench",
            "VOICEFLEET_WORKER_ID": f"ladder-{name}",
            "VOICEFLEET_SLOTS": str(_SLOTS),
            "VOICEFLEET_AGENT_NAME": _AGENT,
            FILE_VARIABLE: str(on.directory / "replies.jsonl"),
        },
        stop_plan=((signal.SIGTERM, 10.0),),
    )
    async with running(child):
        await registered(child)
        async with asyncio.timeout(_WARM_LIMIT_S):
            while child.log_path.read_bytes().count(_WARM) < MOST_CALLS:
                await asyncio.sleep(0.1)
        await _calls(on, callers, 1, 1)
        yield child


async def _calls(on: Stand, callers: CallerSettings, calls: int, questions: int) -> list[CallOutcome]:
    """So many calls, one soon after the other, each of which asks so many questions."""

    async def one(number: int) -> CallOutcome:
        await asyncio.sleep(EVERY_S * number)
        room = f"ladder-{next(_rooms)}"
        return await Caller(room, _ticket(on, room), _script(number, questions), callers).run()

    return await asyncio.gather(*(one(number) for number in range(calls)))


def _script(number: int, questions: int) -> list[Utterance]:
    clips = voices(load_utterances())
    voice = list(clips.values())[number % len(clips)]
    return [voice[(number + i) % len(voice)] for i in range(questions)]


def _judged(outcomes: Sequence[CallOutcome], questions: int, on: Stand) -> Heard:
    """What these calls heard; an answer is right when it is the one to the question. A question that was never asked,
    as there was nobody to ask, went unanswered."""
    responder, heard = Responder(), Heard()
    noted = [json.loads(line) for line in (on.directory / "replies.jsonl").read_text().splitlines()]
    for outcome in outcomes:
        said = [line for line in noted if line["room"] == outcome.room]
        never = questions - len(outcome.turns)
        heard.asked += never
        heard.ttfa_s.append([_TIMEOUT_S] * never)
        for turn, next_turn in itertools.zip_longest(outcome.turns, outcome.turns[1:]):
            heard.asked += 1
            heard.ttfa_s[-1].append(max(turn.waited_s, _TIMEOUT_S) if not turn.answered else turn.waited_s)
            until_s = math.inf if next_turn is None else next_turn.t0_s
            heard.right += _answered(turn, until_s, outcome.joined_at_s or 0.0, said, responder)
    return heard


def _answered(
    turn: TurnOutcome, until_s: float, joined_s: float, said: Sequence[Mapping[str, Any]], responder: Responder
) -> bool:
    asked = llm.ChatContext()
    asked.add_message(role="user", content=turn.text)
    wanted = responder.say(asked)
    return any(line["text"] == wanted and turn.t0_s < line["t_s"] - joined_s <= until_s for line in said)


def _ticket(on: Stand, room: str) -> CallTicket:
    token = (
        api.AccessToken(on.livekit.api_key, on.livekit.api_secret)
        .with_identity(f"caller-{room}")
        .with_grants(api.VideoGrants(room_join=True, room=room))
        .with_room_config(api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name=_AGENT)]))
        .to_jwt()
    )
    return CallTicket(url=on.livekit.url, token=token, room=room, region="bench")

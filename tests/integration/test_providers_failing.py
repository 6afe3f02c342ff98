"""Providers that hang, refuse and drop, in real calls: a fallback answers or an apology is heard; the call goes on."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from livekit import api
from redis.asyncio import Redis as RedisClient

from voicefleet.callers.caller import Caller
from voicefleet.callers.outcome import CallOutcome
from voicefleet.contract import codec
from voicefleet.contract.api import CallTicket
from voicefleet.contract.calls import CallOrder, DispatchMetadata
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import WorkerReport
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.speech.clips import audio_folder, load_utterances
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

STAGES = ("stt", "llm", "tts")
# Each fault is followed by a healthy turn.
FAULTS = ("hang", "", "refuse", "", "drop", "")
LATE_S, FALLBACK_S, HEALTHY_S = 10.0, 6.0, 2.5
LONGEST_S = 5.0
PLUGINS: dict[str, tuple[str, dict[str, Any]]] = {
    "stt": ("voicefleet.local.synthetic:SyntheticSTT", {"latency_s": 0.02}),
    # Short, because each reply is listened to.
    "llm": ("voicefleet.local.synthetic:SyntheticLLM", {"ttft_s": 0.05, "replies": ["It is so, yes."]}),
    "tts": ("voicefleet.local.synthetic:SyntheticTTS", {"ttfb_s": 0.02}),
}
# The defaults once; elsewhere sooner and shorter, since each apology is waited for and heard to its end.
OWN_WORDS = {"text": "Where is my order?", "audio": str(audio_folder().joinpath("slt-03.wav"))}
APOLOGIES: dict[str, dict[str, Any]] = {
    "stt": {},
    "llm": {"after_s": 3.5, **OWN_WORDS},
    "tts": {"after_s": 3.5, **OWN_WORDS},
}


def tiers(folder: Path) -> dict[str, Any]:
    """A tier for each stage that fails, without and with a fallback for it."""
    made: dict[str, Any] = {}
    for failing in STAGES:
        for fallback in (False, True):
            name = f"{failing}-{'spare' if fallback else 'lone'}"
            tier: dict[str, Any] = {"vad": {"min_silence_s": 0.2}, "endpointing": {"min_delay_s": 0.05}}
            for stage, (plugin, args) in PLUGINS.items():
                faulty = {**args, "faults_file": str(folder / f"{name}.json")}
                spare = [{"plugin": plugin, "args": args}] if fallback and stage == failing else []
                tier[stage] = {"plugin": plugin, "args": faulty, "fallback": spare}
            tier["apology"] = APOLOGIES[failing]
            made[name] = tier
    return {"default": "stt-lone", "tiers": made}


@asynccontextmanager
async def worker(livekit: LiveKit, redis_url: str, folder: Path) -> AsyncIterator[WorkerReport]:
    (folder / "tiers.yaml").write_text(yaml.safe_dump(tiers(folder)))
    env = {
        "LIVEKIT_URL": livekit.url,
        "LIVEKIT_API_KEY": livekit.api_key,
        "LIVEKIT_API_SECRET": livekit.api_secret,
        "VOICEFLEET_REDIS_URL": redis_url,
        "VOICEFLEET_REGION": "test",
        "VOICEFLEET_WORKER_ID": "w-faults",
        # Twice as many as calls at once: there is no controller to call again for who meets a slot not yet free.
        "VOICEFLEET_SLOTS": "6",
        "VOICEFLEET_IDLE_PROCESSES": "3",
        "VOICEFLEET_TIERS": str(folder / "tiers.yaml"),
    }
    child = Child(
        "w-faults",
        [sys.executable, "-m", "voicefleet.cli.app", "worker"],
        log_path=folder / "worker.log",
        env=env,
        stop_plan=((signal.SIGTERM, 20.0),),
    )
    redis = RedisClient.from_url(redis_url, decode_responses=True)
    async with running(child), redis:
        async with asyncio.timeout(40):
            while True:
                assert child.alive, child.log_tail()
                text = await redis.get(Keys("test").report("w-faults"))
                if text and (report := codec.load(WorkerReport, text)).state == "ready":
                    break
                await asyncio.sleep(0.1)
        yield report


async def call(livekit: LiveKit, folder: Path, tier: str) -> CallOutcome:
    """One call on `tier`, a question for each of FAULTS, which is in force from the question's first sample."""
    stage, turn = tier.split("-")[0], iter(FAULTS)

    def on_event(_call: str, kind: str, _t_s: float, _data: Mapping[str, Any]) -> None:
        if kind == "asked":
            new = folder / f"{tier}.new"
            new.write_text(json.dumps({stage: next(turn)}))
            new.rename(folder / f"{tier}.json")

    dispatch = api.RoomAgentDispatch(agent_name="voicefleet", metadata=DispatchMetadata(CallOrder(tier)).encode())
    token = (
        api.AccessToken(livekit.api_key, livekit.api_secret)
        .with_identity(f"caller-{tier}")
        .with_grants(api.VideoGrants(room_join=True, room=tier))
        .with_room_config(api.RoomConfiguration(agents=[dispatch]))
        .to_jwt()
    )
    ticket = CallTicket(url=livekit.url, token=token, room=tier, region="test")
    shortest = sorted((u for u in load_utterances() if u.voice == "slt"), key=lambda u: u.duration_s)
    questions = [shortest[n % 3] for n in range(len(FAULTS))]
    return await Caller(tier, ticket, questions, on_event=on_event).run()


async def metrics(report: WorkerReport) -> str:
    url = f"http://127.0.0.1:{report.http_port}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return await answer.text()


async def counted(report: WorkerReport, family: str) -> dict[str, float]:
    """The values of a counter with one label, by its value; without the zeros that every series starts with."""
    pattern = rf'^voicefleet_{family}_total{{\w+="(\w+)"}} (\S+)$'
    found = re.findall(pattern, await metrics(report), re.MULTILINE)
    return {label: n for label, value in found if (n := float(value))}


async def failed(report: WorkerReport) -> dict[tuple[str, str], float]:
    """Failures of providers, by stage and kind; without the zeros."""
    pattern = r'^voicefleet_provider_failures_total{kind="(\w+)",stage="(\w+)"} (\S+)$'
    found = re.findall(pattern, await metrics(report), re.MULTILINE)
    return {(stage, kind): n for kind, stage, value in found if (n := float(value))}


def check(outcome: CallOutcome, limit_s: float, *, spare: bool) -> None:
    heard = [(fault, turn.waited_s, turn.apology) for fault, turn in zip(FAULTS, outcome.turns, strict=False)]
    said = f"{outcome.room}: greeting {outcome.greeting_s}, turns {heard}"
    assert not outcome.silent, said
    assert not outcome.cut, said
    assert len(outcome.turns) == len(FAULTS), said
    for (fault, waited_s, apology), turn in zip(heard, outcome.turns, strict=True):
        assert waited_s <= (limit_s if fault else HEALTHY_S), said
        # Without a fallback an apology is all that is heard, and the caller knows that it is one.
        assert apology == (bool(fault) and not spare), said
        assert turn.answered != apology, said
        assert (turn.ttfa_s is None) == apology, said
    for turn in outcome.turns[:-1]:
        # A reply that came out late, behind the apology, would make it longer.
        assert turn.reply_end_s is not None, said
        assert turn.reply_end_s - turn.t0_s - turn.waited_s < LONGEST_S, said


async def test_a_failing_provider_is_never_silence(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "llm-lone.json").write_text('{"tts": "hang"}')  # From before its greeting.

    async def both(stage: str) -> tuple[CallOutcome, CallOutcome]:
        return await call(livekit, tmp_path, f"{stage}-lone"), await call(livekit, tmp_path, f"{stage}-spare")

    async with worker(livekit, redis_url, tmp_path) as report:
        calls = await asyncio.gather(*map(both, STAGES))
        apologies, fallbacks = await counted(report, "apologies"), await counted(report, "fallbacks")
        turns, failures = await counted(report, "turns"), await failed(report)
    for lone, spare in calls:
        check(lone, LATE_S, spare=False)
        check(spare, FALLBACK_S, spare=True)
    greeting_s = calls[STAGES.index("llm")][0].greeting_s
    assert greeting_s is not None
    assert APOLOGIES["llm"]["after_s"] < greeting_s < LATE_S
    # Without a fallback: each stage's hang and refusal. A lost connection leaves nothing of the words, half of a reply.
    assert apologies == {"greeting": 1, "unheard": 3, "unanswered": 4, "cut_short": 2}
    assert fallbacks == {"stt": 3, "llm": 3, "tts": 3}
    assert turns["error"] == 7
    # Each hang, whoever ended it: the apology before its time (and in the greeting), or the fallback, which then asks
    # the one that hung once more whether it is back.
    assert {stage: n for (stage, kind), n in failures.items() if kind == "timeout"} == {"stt": 3, "llm": 3, "tts": 4}

"""An agent on a speech-to-speech model, without STT and TTS, through greeting, answers, a handoff, a kill -9 and the
model's own faults. The model is a fake that behaves as the public adapters do: no real one can be reached here."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from integration.test_calls_survive import Fleet, fine, fleet, speakers
from integration.test_worker import call, claim_of, dispatch

from support.eventually import eventually
from support.realtime_agent import FOLDER_VARIABLE
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration


class Model:
    """The fake models of the fleet's jobs, by the files that they share with this test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fails(self, **faults: str) -> None:
        new = self.folder / "faults.new"
        new.write_text(json.dumps(faults))
        new.replace(self.folder / "faults.json")

    def asked(self, what: str) -> list[dict[str, Any]]:
        file = self.folder / "notes.jsonl"
        notes = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [note for note in notes if note["what"] == what]


async def said(f: Fleet, room: str) -> list[str]:
    transcript = await f.transcript(room)
    items = transcript.items if transcript is not None else ()
    return [i["content"][0] for i in items if i["type"] == "message" and i["role"] == "assistant"]


async def said_more(f: Fleet, room: str, than: int, limit_s: float = 30.0) -> bool:
    async def more() -> bool:
        return len(await said(f, room)) > than

    return bool(await eventually(more, limit_s))


async def test_a_realtime_agent_keeps_every_promise(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    model, env = Model(tmp_path), {FOLDER_VARIABLE: str(tmp_path), "VOICEFLEET_TIERS": "own"}
    async with fleet(livekit, redis_url, tmp_path, agent="support.realtime_agent:create", **env) as f:
        room = "realtime"
        talking = asyncio.create_task(call(f.livekit, room, turns=6))
        assert await said_more(f, room, 1, 40.0), "the greeting and a first answer"
        assert (await said(f, room))[0] == "Hello, this is the realtime agent."
        first = await f.claim(room)

        # A drain, and a model that does not acknowledge the conversation: 5 s in the SDK, the call's end in some.
        model.fails(update_chat_ctx="stall")
        await f.workers[first.worker].order(1, cordon=True)  # LiveKit may offer it our one dispatch, which it refuses
        assert await f.claims.begin_handoff(room, job=first.job)
        await dispatch(f.livekit, room)
        assert await eventually(lambda: f.moved(room, first), 15.0)
        second, before = await f.claim(room), len(await said(f, room))
        assert await said_more(f, room, before), "it answers after the handoff"
        assert (await said(f, room))[0] == "Hello, this is the realtime agent.", "the conversation is stored as before"
        model.fails(update_chat_ctx="raise")
        await f.workers[first.worker].order(2, cordon=False)

        # A killed job: the next one speaks first, by an instruction, since it cannot say anything itself.
        before = len(await said(f, room))
        os.kill(await f.pid(room), signal.SIGKILL)
        await f.recover(room, second)
        assert await eventually(lambda: f.moved(room, second), 5.0)
        assert await said_more(f, room, before)
        assert any("Say exactly this" in note["instructions"] for note in model.asked("generate_reply"))
        third = await f.claim(room)
        model.fails()

        # A session that expires closes the SDK's session: a crash, whose call is given back at once.
        began_s = time.monotonic()
        model.fails(session="expire")

        async def given_back() -> bool:
            claim = await claim_of(f.redis, room)
            return claim is None or claim.job != third.job

        assert await eventually(given_back, 8.0)
        model.fails()
        print("given back after", round(time.monotonic() - began_s, 2))
        before = len(await said(f, room))
        await dispatch(f.livekit, room)
        assert await said_more(f, room, before)
        fourth = await f.claim(room)
        outcome = await talking
        fine(outcome)
        assert speakers(outcome) == [job.job for job in (first, second, third, fourth)]
        assert outcome.greeting_s is not None
        print("ttfa", [turn.ttfa_s and round(turn.ttfa_s, 2) for turn in outcome.turns])

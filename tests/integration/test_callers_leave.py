"""`voicefleet loadtest` as its users start it, killed in mid-call: its callers leave their rooms."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from livekit import api

from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

CALLS = 3


@pytest.mark.parametrize("engine", ["python", "go"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=["kill -9", "SIGTERM", "SIGINT"])
async def test_a_command_that_is_killed_leaves_no_caller(
    livekit: LiveKit, engine: str, how: signal.Signals, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if engine == "go":
        request.getfixturevalue("caller_program")
    said = tmp_path / "said"
    with said.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "voicefleet.cli.app", "loadtest", "--url", livekit.url, "--engine", engine),
            *("--calls", str(CALLS), "--rate", "10"),
            env={**environment(), "LIVEKIT_API_KEY": livekit.api_key, "LIVEKIT_API_SECRET": livekit.api_secret},
            stdout=file,
            stderr=file,
        )
    async with api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret) as lk:

        async def inside() -> int:
            rooms = (await lk.room.list_rooms(api.ListRoomsRequest())).rooms
            found = [await lk.room.list_participants(api.ListParticipantsRequest(room=room.name)) for room in rooms]
            return sum(one.identity.startswith("caller-") for room in found for one in room.participants)

        try:
            async with asyncio.timeout(30):
                while await inside() < CALLS:
                    assert process.returncode is None, said.read_text()
                    await asyncio.sleep(0.2)
        finally:
            if process.returncode is None:
                process.send_signal(how)
        code = await asyncio.wait_for(process.wait(), 20)
        # In order: a caller that merely vanishes stays in its room for 20 s.
        async with asyncio.timeout(8):
            while await inside():
                await asyncio.sleep(0.1)
    assert code == (-signal.SIGKILL if how is signal.SIGKILL else 130), said.read_text()
    assert "Traceback" not in said.read_text()

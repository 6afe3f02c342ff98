"""Runs the agents without voicefleet, as `python agent.py dev` does: the proof that their shapes are LiveKit's own."""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Any

from livekit import api

from examples.catalogue import ENVIRONMENT, Example
from examples.conversation import Conversation
from examples.provider import avatar_provider
from voicefleet.callers.verdict import faults
from voicefleet.contract.api import CallTicket
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.supervisor.children import Child
from voicefleet.stack.servers import LiveKit, livekit_server

REGISTER_LIMIT_S = 30.0
ANSWERS_LIMIT_S = 60.0
QUESTIONS = 3


async def run_bare(example: Example, clock: Clock) -> dict[str, Any]:
    """One call to the agent as LiveKit itself runs it: the greeting and three answers.

    Returns:
        its figures, and `faults`: what was wrong, in sentences; empty for a good call.
    """
    with tempfile.TemporaryDirectory(prefix="voicefleet-bare-") as directory:
        log_path = Path(directory) / "agent.log"
        async with (
            livekit_server("bare", log_dir=Path(directory)) as livekit,
            avatar_provider(Path(directory), wanted=example.avatars) as provider,
        ):
            agent = Child(
                example.name,
                [sys.executable, str(example.path), "dev", "--no-reload"],
                log_path=log_path,
                env={
                    **ENVIRONMENT,
                    **provider.environment,
                    "LIVEKIT_URL": livekit.url,
                    "LIVEKIT_API_KEY": livekit.api_key,
                    "LIVEKIT_API_SECRET": livekit.api_secret,
                },
            )
            try:
                await _registered(log_path, clock)
                talk = Conversation(example, ticket(livekit), clock)
                async with talk:
                    await talk.answered(QUESTIONS, ANSWERS_LIMIT_S)
                    outcome = await talk.hang_up()
            finally:
                await agent.stop()
            wrong = faults(outcome, QUESTIONS)
            return {
                "agent": example.name,
                "greeting_s": outcome.greeting_s,
                "ttfa_s": [turn.ttfa_s for turn in outcome.turns],
                "faults": wrong,
                "log": log_path.read_text(errors="replace").splitlines()[-20:] if wrong else [],
            }


def ticket(livekit: LiveKit) -> CallTicket:
    """A ticket to a new room, to which LiveKit sends the one agent that there is."""
    room, identity = f"call-{secrets.token_hex(4)}", f"caller-{secrets.token_hex(2)}"
    token = (
        api.AccessToken(livekit.api_key, livekit.api_secret)
        .with_identity(identity)
        .with_grants(api.VideoGrants(room_join=True, room=room))
    )
    return CallTicket(url=livekit.url, token=token.to_jwt(), room=room, region="", identity=identity)


async def _registered(log_path: Path, clock: Clock) -> None:
    async with asyncio.timeout(REGISTER_LIMIT_S):
        while "registered worker" not in log_path.read_text(errors="replace"):
            await clock.sleep(0.1)

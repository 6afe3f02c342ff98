"""The test stand: one livekit-server, one Redis, and the workers that are compared."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from livekit import api

from voicefleet.contract.api import CallTicket
from voicefleet.contract.calls import CallOrder, DispatchMetadata
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.stack.servers import LiveKit, Redis, livekit_server, redis_server

TIERS = Path(__file__).with_name("tiers.yaml")
TURNS = Path(__file__).with_name("turns.yaml")
IDLE = 4
"""Warm job processes of every arm, and voicefleet's slots."""

REGISTERED = b"registered worker"
"""What livekit-agents logs, in every arm alike, when LiveKit has accepted the worker."""

_POLL_S = 0.01
_REGISTER_LIMIT_S = 60.0


class Arm(Enum):
    """What is compared. The value is the agent name, by which a call chooses its worker."""

    VOICEFLEET = "bench-voicefleet"
    TOLD = "bench-told"
    """VOICEFLEET with traces too."""
    QUIET = "bench-quiet"
    """VOICEFLEET whose calls tell nothing."""
    SERVER = "bench-server"
    """VOICEFLEET with BARE's own file, an `AgentServer`: nothing of its session is replaced."""
    ENTRYPOINT = "bench-entrypoint"
    """The same with BARE's entrypoint alone."""
    TURNS = "bench-turns"
    """VOICEFLEET with the tiers of `turns.yaml` and an agent that writes down when what happened."""
    BARE = "bench-bare"
    DEFAULTS = "bench-defaults"
    BARE_LEAN = "bench-bare-lean"
    """BARE without the models that livekit-agents preloads by default, which voicefleet does without too."""


_TIER, _OWN = ("--tiers", str(TIERS)), ("--tiers", "own")
_OURS = {
    Arm.VOICEFLEET: _TIER,
    Arm.TOLD: _TIER,
    Arm.QUIET: _TIER,
    Arm.SERVER: (*_OWN, "--agent", "bench.team:server"),
    Arm.ENTRYPOINT: (*_OWN, "--agent", "bench.team:entrypoint"),
    Arm.TURNS: ("--tiers", str(TURNS), "--agent", "bench.hops:create"),
}


@dataclass
class Stand:
    """Running servers. `otlp_url` takes the traces of `Arm.TOLD`; `extra_environment` is every worker's."""

    livekit: LiveKit
    redis: Redis
    directory: Path
    otlp_url: str = ""
    extra_environment: dict[str, str] = field(default_factory=dict)

    def start(self, arm: Arm, name: str) -> Child:
        """A worker of `arm`; returns at once."""
        environment = {
            "LIVEKIT_URL": self.livekit.url,
            "LIVEKIT_API_KEY": self.livekit.api_key,
            "LIVEKIT_API_SECRET": self.livekit.api_secret,
            **self.extra_environment,
        }
        if arm in _OURS:
            argv = ["-m", "voicefleet.cli.app", "worker", *_OURS[arm]]
            environment |= {
                "PYTHONPATH": str(TIERS.parent.parent),
                "BENCH_BARE_MODE": "tuned",
                "VOICEFLEET_REDIS_URL": self.redis.url,
                "VOICEFLEET_REGION": "bench",
                "VOICEFLEET_WORKER_ID": name,
                "VOICEFLEET_SLOTS": str(IDLE),
                "VOICEFLEET_AGENT_NAME": arm.value,
                "VOICEFLEET_TELEMETRY": "off" if arm is Arm.QUIET else "on",
                "OTEL_EXPORTER_OTLP_ENDPOINT": self.otlp_url if arm is Arm.TOLD else "",
            }
        else:
            mode = "defaults" if arm is Arm.DEFAULTS else "tuned"
            argv = ["-m", "bench.bare_worker", arm.value, mode, str(IDLE)]
            environment["PYTHONPATH"] = str(TIERS.parent.parent)
            if arm is Arm.BARE_LEAN:
                environment["LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE"] = "0"
        return Child(
            name,
            [sys.executable, *argv],
            log_path=self.directory / f"{name}.log",
            env=environment,
            stop_plan=((signal.SIGTERM, 10.0),),
        )

    def ticket(self, arm: Arm, room: str, tier: str = "") -> CallTicket:
        """Admission to a new room whose agent is of `arm`, and of `tier` where it has several."""
        metadata = DispatchMetadata(CallOrder(tier=tier)).encode() if tier else ""
        dispatch = api.RoomAgentDispatch(agent_name=arm.value, metadata=metadata)
        token = (
            api.AccessToken(self.livekit.api_key, self.livekit.api_secret)
            .with_identity(f"caller-{room}")
            .with_grants(api.VideoGrants(room_join=True, room=room))
            .with_room_config(api.RoomConfiguration(agents=[dispatch]))
            .to_jwt()
        )
        return CallTicket(url=self.livekit.url, token=token, room=room, region="bench")


@contextlib.asynccontextmanager
async def stand() -> AsyncIterator[Stand]:
    """Run the servers for the block."""
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voicefleet-bench-")))
        livekit = await stack.enter_async_context(livekit_server("bench", log_dir=directory))
        redis = await stack.enter_async_context(redis_server(log_dir=directory))
        yield Stand(livekit, redis, directory)


@contextlib.asynccontextmanager
async def workers(on: Stand, arms: Sequence[Arm]) -> AsyncIterator[dict[Arm, int]]:
    """Keep a worker of each arm up for the block; gives their process ids."""
    pids: dict[Arm, int] = {}
    async with contextlib.AsyncExitStack() as stack:
        for arm in arms:
            child = await stack.enter_async_context(running(on.start(arm, f"{arm.value}-{time.monotonic_ns()}")))
            await registered(child)
            pids[arm] = child.pid
        # What follows a registration (the first status, the last imports) is over by then.
        await asyncio.sleep(1.0)
        yield pids


async def registered(child: Child) -> float:
    """Wait until the worker says that it is registered; the monotonic time at which it was seen to.

    Raises:
        RuntimeError: it ended, or took more than a minute.
    """
    deadline = time.monotonic() + _REGISTER_LIMIT_S
    while time.monotonic() < deadline:
        if REGISTERED in child.log_path.read_bytes():
            return time.monotonic()
        if not child.alive:
            break
        await asyncio.sleep(_POLL_S)
    raise RuntimeError(f"{child.name} did not register; its last lines:\n{child.log_tail()}")

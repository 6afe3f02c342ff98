"""What runs in a job process: one call, from the room to its end.

`setup` and `entrypoint` are pickled to the process, so they are functions of this module and find their settings in
the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from dataclasses import dataclass
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentSession, JobContext, JobProcess
from livekit.agents.llm import ChatMessage

from voicefleet.contract.calls import DispatchMetadata
from voicefleet.runtime.claims import ClaimStore
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.logs import configure_logs, get_logger
from voicefleet.runtime.redis import Scripts, connect_redis
from voicefleet.worker import settings as settings_module
from voicefleet.worker.admission import EPOCH_ATTRIBUTE
from voicefleet.worker.call import AgentFactory, CallContext, load_factory
from voicefleet.worker.hold import Hold
from voicefleet.worker.joblink import JobLink
from voicefleet.worker.pipeline import build_session
from voicefleet.worker.settings import WorkerSettings
from voicefleet.worker.tiers.load import ReadyTier, Tiers, read_tiers, resolve_tiers

log = get_logger(__name__)

_USERDATA = "voicefleet"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a job process has ready before a call comes."""

    settings: WorkerSettings
    tiers: Tiers
    factory: AgentFactory


def setup(proc: JobProcess) -> None:
    """Prepare a job process: settings, tiers and the team's agent are read and imported once, before any call."""
    settings = settings_module.settings_of_job()
    configure_logs(
        settings.log_level,
        settings.log_format,  # type: ignore[arg-type]
        personal_data=settings.log_personal_data,
        worker=settings.worker_id,
        region=settings.region,
    )
    tiers = resolve_tiers(read_tiers(settings.tiers), settings_module.environment())
    proc.userdata[_USERDATA] = Prepared(settings, tiers, load_factory(settings.agent))


async def entrypoint(ctx: JobContext) -> None:
    """Serve one call."""
    prepared: Prepared = ctx.proc.userdata[_USERDATA]
    settings = prepared.settings
    dispatch = DispatchMetadata.decode(ctx.job.metadata)
    tier = prepared.tiers.pick(dispatch.tier)
    link = JobLink()
    redis = connect_redis(settings.redis_url.get_secret_value())
    hold = Hold(
        ClaimStore(Scripts(redis), settings.region),
        room=ctx.job.room.name,
        room_sid=ctx.job.room.sid,
        worker=settings.worker_id,
        job=ctx.job.id,
        clock=SystemClock(),
    )
    # One callback that closes in reverse order: livekit-agents runs several callbacks at the same time. It runs also
    # when something below raises, so that the claim is given back at once and another worker serves the call.
    closing = contextlib.AsyncExitStack()
    ctx.add_shutdown_callback(closing.aclose)
    closing.push_async_callback(redis.aclose)
    closing.push_async_callback(link.close)
    closing.push_async_callback(hold.release)

    call = CallContext(settings.region, ctx.job.room.name, tier.name, dispatch.metadata, settings.worker_id)
    # The room's connection takes longest, so the rest is made ready beside it.
    connecting = asyncio.create_task(ctx.connect())
    await link.connect(settings.job_socket, ctx.job.id)
    session = build_session(tier)
    agent = await _make_agent(prepared.factory, call)
    await connecting

    if not await hold.take(_epoch(ctx.room)):
        log.info("the call is another worker's, leaving", room=ctx.job.room.name, job=ctx.job.id)
        ctx.shutdown("claim held by another")
        return
    watched = _Call(ctx, session, hold, link, tier, settings)
    closing.callback(watched.end)
    watched.watch()
    await session.start(agent, room=ctx.room)


async def _make_agent(factory: AgentFactory, call: CallContext) -> Agent:
    made = factory(call)
    return await made if inspect.isawaitable(made) else made


def _epoch(room: rtc.Room) -> int:
    text = room.local_participant.attributes.get(EPOCH_ATTRIBUTE, "0")
    return int(text) if text.isdigit() else 0


class _Call:
    """Watches one call in progress: its claim, its caller, its turns."""

    def __init__(
        self,
        ctx: JobContext,
        session: AgentSession[Any],
        hold: Hold,
        link: JobLink,
        tier: ReadyTier,
        settings: WorkerSettings,
    ) -> None:
        self._ctx = ctx
        self._session = session
        self._hold = hold
        self._link = link
        self._tier = tier
        self._settings = settings
        self._keeping: asyncio.Task[None] | None = None
        self._caller_timer: asyncio.TimerHandle | None = None
        self._result = "completed"

    def watch(self) -> None:
        """Begin; must be called before the session starts, so that no event is missed."""
        self._keeping = asyncio.create_task(self._keep_hold())
        self._session.on("conversation_item_added", self._on_item)
        self._session.on("close", lambda _: self._ctx.shutdown("session closed"))
        self._ctx.room.on("participant_connected", lambda _: self._look_for_caller())
        self._ctx.room.on("participant_disconnected", lambda _: self._look_for_caller())
        self._look_for_caller()
        self._link.send({"kind": "call_started", "tier": self._tier.name})

    async def _keep_hold(self) -> None:
        await self._hold.keep(self._ctx.room.isconnected)
        log.warning("the call was taken over, leaving", room=self._ctx.job.room.name, job=self._ctx.job.id)
        self._result = "taken_over"
        # Silence first: the audio already queued must not be heard beside the new agent's.
        self._session.output.set_audio_enabled(False)
        await self._ctx.room.disconnect()

    def _look_for_caller(self) -> None:
        agent = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        present = any(p.kind != agent for p in self._ctx.room.remote_participants.values())
        if present and self._caller_timer is not None:
            self._caller_timer.cancel()
            self._caller_timer = None
        elif not present and self._caller_timer is None:
            # A caller whose network changed comes back within seconds; its call waits for it.
            loop = asyncio.get_running_loop()
            self._caller_timer = loop.call_later(
                self._settings.caller_gone_s, self._ctx.shutdown, "no caller in the room"
            )

    def _on_item(self, event: Any) -> None:
        item = event.item
        if not isinstance(item, ChatMessage) or item.role != "assistant":
            return
        ttfa = (item.metrics or {}).get("e2e_latency")
        self._link.send(
            {
                "kind": "turn",
                "tier": self._tier.name,
                "ttfa_s": ttfa,
                "outcome": "interrupted" if item.interrupted else "completed",
            }
        )

    def end(self) -> None:
        """Stop watching and tell the worker; the room is left already."""
        if self._keeping is not None:
            self._keeping.cancel()
        if self._caller_timer is not None:
            self._caller_timer.cancel()
        self._link.send({"kind": "call_ended", "result": self._result})

"""What runs in a job process: one call, from the room to its end.

`setup` and `entrypoint` are pickled to the process, so they are functions of this module and find their settings in
the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession, JobContext, JobProcess
from livekit.agents.llm import ChatMessage

from voicefleet.contract.calls import DispatchMetadata
from voicefleet.contract.claims import Handoff, HandoffState
from voicefleet.contract.keys import Keys
from voicefleet.contract.probe import WORKER_ATTRIBUTE
from voicefleet.runtime.claims import ClaimStore
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.logs import configure_logs, get_logger
from voicefleet.runtime.redis import RedisClient, Scripts, connect_redis
from voicefleet.worker import settings as settings_module
from voicefleet.worker.admission import EPOCH_ATTRIBUTE, SUCCESSOR_ATTRIBUTE
from voicefleet.worker.apology import Apology
from voicefleet.worker.call import AgentFactory, CallContext, load_factory
from voicefleet.worker.handover import SUCCESSION_LIMIT_S, Handover, wait_for_turn
from voicefleet.worker.hold import Hold
from voicefleet.worker.joblink import JobLink
from voicefleet.worker.media import Media
from voicefleet.worker.memory import MemoryStore, cipher
from voicefleet.worker.pipeline import build_session
from voicefleet.worker.presence import Presence
from voicefleet.worker.resume import Resumption, remember
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
    room, keys, clock = ctx.job.room.name, Keys(settings.region), SystemClock()
    link = JobLink()
    redis = connect_redis(settings.redis_url.get_secret_value())
    claims = ClaimStore(Scripts(redis), settings.region)
    hold = Hold(claims, room=room, room_sid=ctx.job.room.sid, worker=settings.worker_id, job=ctx.job.id, clock=clock)
    woken = asyncio.Event()

    def wake() -> None:
        woken.set()
        hold.wake()

    presence = Presence(redis, keys.job_channel(ctx.job.id), wake)
    memory = _memory(settings, redis, keys, room, link) if settings.memory == "on" else None
    media = Media(ctx.room, clock)
    # One callback that closes in reverse order: livekit-agents runs several callbacks at the same time. It runs also
    # when something below raises, so that the claim is given back at once and another worker serves the call.
    closing = contextlib.AsyncExitStack()
    ctx.add_shutdown_callback(closing.aclose)
    closing.push_async_callback(redis.aclose)
    closing.push_async_callback(link.close)
    # The claim is given back first: a job that does not listen any more and holds a call counts as dead.
    closing.push_async_callback(presence.end)
    closing.push_async_callback(hold.release)
    closing.callback(media.end)

    # The room's connection takes longest, so the rest is made ready beside it.
    connecting = asyncio.create_task(ctx.connect())
    presence.start()
    reading = asyncio.create_task(memory.read()) if memory is not None else None
    await link.connect(settings.job_socket, ctx.job.id)
    session = build_session(tier)
    before = await reading if reading is not None else None
    await connecting
    media.watch()

    successor = ctx.room.local_participant.attributes.get(SUCCESSOR_ATTRIBUTE) == "1"
    if not successor and not await hold.take(_epoch(ctx.room), others=_another_is_there(ctx.room)):
        log.info("the call is another worker's, leaving", room=room, job=ctx.job.id)
        ctx.shutdown("claim held by another")
        return
    why = "handed_over" if successor else "recovered" if before is not None else ""
    call = CallContext(settings.region, room, tier.name, dispatch.metadata, settings.worker_id, why)
    resumption = Resumption(session, call, before, settings.resume_phrase, link.send)
    agent = await resumption.make_agent(prepared.factory)
    handover = Handover(
        session,
        claims,
        memory,
        room=room,
        job=ctx.job.id,
        mine=lambda: (ctx.job.room.sid, settings.worker_id, hold.epoch),
        present=lambda identity: identity in ctx.room.remote_participants,
        settle_s=tier.tier.endpointing.max_delay_s + 1.0,
        clock=clock,
    )
    handover.watch()
    apology = Apology(session, tier, clock, link.send)
    closing.callback(apology.end)
    apology.watch()
    if successor:
        await resumption.start_silent(agent, ctx.room)
        if not await wait_for_turn(claims, room, ctx.job.id, woken, SUCCESSION_LIMIT_S):
            log.info("the call stays where it is, leaving", room=room, job=ctx.job.id)
            ctx.shutdown("not handed over")
            return
    watched = _Call(ctx, session, hold, link, tier, settings, media, handover, memory, call)
    closing.push_async_callback(watched.end)
    watched.watch()
    if successor:
        await resumption.take_over(agent, await memory.read() if memory is not None else None)
        watched.save()
    else:
        await session.start(agent, room=ctx.room)


def _memory(settings: WorkerSettings, redis: RedisClient, keys: Keys, room: str, link: JobLink) -> MemoryStore:
    return MemoryStore(
        redis,
        keys,
        room,
        ttl_s=settings.memory_ttl_s,
        max_bytes=settings.memory_max_bytes,
        secret=cipher(settings.memory_key.get_secret_value()),
        lost=lambda reason: link.send({"kind": "memory_lost", "reason": reason}),
    )


def _another_is_there(room: rtc.Room) -> bool:
    return any(WORKER_ATTRIBUTE in p.attributes for p in room.remote_participants.values())


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
        media: Media,
        handover: Handover,
        memory: MemoryStore | None,
        call: CallContext,
    ) -> None:
        self._ctx = ctx
        self._session = session
        self._hold = hold
        self._link = link
        self._tier = tier
        self._settings = settings
        self._media = media
        self._handover = handover
        self._memory = memory
        self._call = call
        self._handing_over: asyncio.Task[None] | None = None
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
        room = self._ctx.room
        await self._hold.keep(
            room.isconnected, trouble=lambda: self._media.trouble, stalled=self._doubt, renewed=self._on_renewed
        )
        if self._result != "handed_over":
            log.warning("the call was taken over, leaving", room=self._ctx.job.room.name, job=self._ctx.job.id)
            self._result = "taken_over"
        # Silence first: the audio already queued must not be heard beside the new agent's.
        self._session.output.set_audio_enabled(False)
        await room.disconnect()
        self._ctx.shutdown(self._result)

    def _doubt(self, doubtful: bool) -> None:
        if doubtful:
            log.warning("this process did not run for a while, silent until the claim is confirmed")
        self._session.output.set_audio_enabled(not doubtful)

    def _on_renewed(self) -> None:
        handoff = self._hold.handoff
        busy = self._handing_over is not None and not self._handing_over.done()
        if handoff is not None and handoff.state == HandoffState.READY and not busy:
            self._handing_over = asyncio.create_task(self._hand_over(handoff))

    async def _hand_over(self, handoff: Handoff) -> None:
        if await self._handover.run(handoff):
            log.info("call handed over", room=self._ctx.job.room.name, to=handoff.to_worker)
            self._result = "handed_over"
            self._hold.let_go()

    def save(self) -> None:
        """Store the conversation, in the background."""
        if self._memory is not None and not self._hold.lost:
            self._memory.save(lambda: remember(self._session, self._tier.name, self._call.kept))

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
        self.save()
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

    async def end(self) -> None:
        """Stop watching and tell the worker; the room is left already."""
        for task in (self._keeping, self._handing_over):
            if task is not None:
                task.cancel()
        if self._caller_timer is not None:
            self._caller_timer.cancel()
        self._link.send({"kind": "call_ended", "result": self._result})
        if self._memory is not None and not self._hold.lost:
            await self._memory.forget()

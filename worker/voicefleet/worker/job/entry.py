"""What runs in a job process: one call, from the room to its end.

`setup` and `entrypoint` are pickled to the process, so they are functions of this module and find their settings in
the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from livekit.agents import JobContext, JobProcess

from voicefleet.contract.calls import DispatchMetadata
from voicefleet.contract.keys import Keys
from voicefleet.contract.spans import TraceContext
from voicefleet.runtime.clock import Clock, SystemClock
from voicefleet.runtime.logs.setup import bind_call, configure_logs, get_logger
from voicefleet.runtime.redis.claim_store import ClaimStore
from voicefleet.runtime.redis.connection import RedisClient, Scripts, connect_redis
from voicefleet.worker.call import HANDED_OVER, RECOVERED, AgentFactory, CallContext, load_factory
from voicefleet.worker.conversation.handover import wait_for_turn
from voicefleet.worker.conversation.resume import Phrases, Resumption
from voicefleet.worker.conversation.transcript import CallTranscript, Loss, build_cipher
from voicefleet.worker.conversation.transcript_store import TranscriptStore
from voicefleet.worker.dead_air.apology import Apology
from voicefleet.worker.dead_air.detector import Reason
from voicefleet.worker.job.claim_lease import ClaimLease
from voicefleet.worker.job.ipc import JobChannel
from voicefleet.worker.job.live_call import LiveCall
from voicefleet.worker.job.liveness import LivenessSubscription
from voicefleet.worker.job.media import Media
from voicefleet.worker.job.sdk import accepted_attributes
from voicefleet.worker.job.session_access import SessionAccess, close_sessions, open_sessions
from voicefleet.worker.providers.pipeline import build_session
from voicefleet.worker.server import settings as settings_module
from voicefleet.worker.server.admission import EPOCH_ATTRIBUTE, SUCCESSOR_ATTRIBUTE
from voicefleet.worker.server.settings import WorkerSettings
from voicefleet.worker.telemetry.call_telemetry import CallTelemetry
from voicefleet.worker.telemetry.call_trace import CallTrace
from voicefleet.worker.telemetry.observations import ApologySpoken, Observation, Span, TranscriptLost
from voicefleet.worker.tiers.load import Tiers, read_tiers, resolve_tiers

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
    try:
        close_sessions()
        tiers = resolve_tiers(read_tiers(settings.tiers), settings_module.environment())
        proc.userdata[_USERDATA] = Prepared(settings, tiers, load_factory(settings.agent))
    except Exception:
        # What livekit-agents makes of it, in the main process, has neither the type nor the frames.
        log.exception("a job process cannot be made ready")
        raise


async def entrypoint(ctx: JobContext) -> None:
    """Serve one call."""
    prepared: Prepared = ctx.proc.userdata[_USERDATA]
    settings = prepared.settings
    dispatch = DispatchMetadata.decode(ctx.job.metadata)
    room, keys, clock = ctx.job.room.name, Keys(settings.region), SystemClock()
    given = accepted_attributes(ctx)
    bind_call(room=room, job=ctx.job.id)
    channel = JobChannel()
    began_s = clock.wall().timestamp()
    redis = connect_redis(settings.redis_url.get_secret_value())
    claims = ClaimStore(Scripts(redis), settings.region)
    lease = ClaimLease(
        claims, room=room, room_sid=ctx.job.room.sid, worker=settings.worker_id, job=ctx.job.id, clock=clock
    )
    woken = asyncio.Event()

    def wake() -> None:
        woken.set()
        lease.renew_soon()

    liveness = LivenessSubscription(redis, keys.job_channel(ctx.job.id), wake)
    transcripts = _transcript_store(settings, redis, keys, ctx, channel) if settings.transcript == "on" else None
    media = Media(ctx.room, clock)
    # One callback that closes in reverse order: livekit-agents runs several callbacks at the same time. It runs also
    # when something below raises, so that the claim is given back at once and another worker serves the call.
    closing = contextlib.AsyncExitStack()
    ctx.add_shutdown_callback(closing.aclose)
    closing.push_async_callback(redis.aclose)
    closing.push_async_callback(channel.close)
    # The claim is given back first: a job that does not listen any more and holds a call counts as dead.
    closing.push_async_callback(liveness.end)
    closing.push_async_callback(lease.release)
    closing.callback(media.end)

    # The room's connection takes longest, so the rest is made ready beside it.
    connecting = asyncio.create_task(ctx.connect())
    liveness.start()
    reading = asyncio.create_task(_recall(transcripts, ctx, connecting, clock))
    if settings.telemetry == "on":
        await channel.connect(settings.job_socket)
    before = await reading
    tier = prepared.tiers.pick(dispatch.tier or (before.tier if before else ""))
    open_sessions(SessionAccess(tier.tier.text_input, tier.tier.session_host))
    session = build_session(tier)
    successor = given.get(SUCCESSOR_ATTRIBUTE) == "1"
    why = HANDED_OVER if successor else RECOVERED if before else ""
    call = CallContext(settings.region, room, tier.name, dispatch.metadata, settings.worker_id, why)
    trace = _trace(settings, dispatch, before, channel, ctx, tier.name, began_s)
    resumption = Resumption(
        session,
        call,
        before,
        Phrases(settings.resume_phrase, settings.resume_answer_phrase),
        clock=clock,
        lost=lambda loss: _count_loss(channel, loss),
        send=channel.send,
    )
    agent = await resumption.make_agent(prepared.factory)
    await connecting
    media.watch()

    apology = Apology(session, tier, clock, lambda observation: _note(channel, telemetry, observation))
    telemetry = CallTelemetry(
        session,
        tier.name,
        channel.send,
        trace,
        clock,
        waits_since=lambda: apology.waits_since_s,
        caller_there=lambda: live.caller_there(),
        on=settings.telemetry == "on",
    )
    live = LiveCall(
        ctx,
        session,
        lease,
        channel,
        media,
        transcripts,
        call,
        clock=clock,
        caller_gone_s=settings.caller_gone_s,
        telemetry=telemetry,
        trace=trace.header,
    )
    closing.push_async_callback(live.end)
    live.watch()
    media.readings = telemetry.on_rtp_stats
    closing.callback(apology.end)
    apology.watch()
    # Only after a full reconnect: while the SDK resumes a session, the audio goes on.
    ctx.room.on("local_track_republished", lambda *_: apology.line_back())
    if successor:
        lease.epoch = _epoch(given)
        await resumption.start_silent(agent, ctx.room)
        live.started(deaf=True)
        ours = await wait_for_turn(
            claims, lease.renew, room, ctx.job.id, woken=woken, connected=ctx.room.isconnected, clock=clock
        )
        if not ours:
            log.info("the call stays where it is, leaving", room=room, job=ctx.job.id)
            ctx.shutdown("not handed over")
            return
        live.begin()
        telemetry.joined(greets=False, successor=True)
        await resumption.take_over(agent, await transcripts.read() if transcripts is not None else None)
        live.hear()
        live.save()
        return
    if not await lease.acquire(_epoch(given), others=live.others_here()):
        log.info("the call is another worker's, leaving", room=room, job=ctx.job.id)
        ctx.shutdown("claim held by another")
        return
    live.begin()
    await session.start(agent, room=ctx.room)
    live.started()
    telemetry.joined(greets=not why)


async def _recall(
    transcripts: TranscriptStore | None, ctx: JobContext, connecting: asyncio.Task[None], clock: Clock
) -> CallTranscript | None:
    """What is remembered of this very call."""
    before = await transcripts.read() if transcripts is not None else None
    if before is None or before.sid == ctx.job.room.sid:
        return before
    await connecting
    now_s = clock.wall().timestamp()
    known = any(before.is_of(ctx.job.room.sid, identity, now_s) for identity in ctx.room.remote_participants)
    return before if known else None


def _transcript_store(
    settings: WorkerSettings, redis: RedisClient, keys: Keys, ctx: JobContext, channel: JobChannel
) -> TranscriptStore:
    return TranscriptStore(
        redis,
        keys,
        ctx.job.room.name,
        ctx.job.id,
        ttl_s=settings.transcript_ttl_s,
        max_bytes=settings.transcript_max_bytes,
        cipher=build_cipher(settings.transcript_key.get_secret_value()),
        plaintext=settings.transcript_plaintext == "read",
        lost=lambda loss: _count_loss(channel, loss),
    )


def _trace(
    settings: WorkerSettings,
    dispatch: DispatchMetadata,
    before: CallTranscript | None,
    channel: JobChannel,
    ctx: JobContext,
    tier: str,
    began_s: float,
) -> CallTrace:
    """The call's trace: the one that the dispatch carries, else the one of the job that had the call before."""
    parent = TraceContext.parse(dispatch.traceparent) or TraceContext.parse(before.trace if before else "")
    trace = CallTrace(
        lambda span: channel.send(Span(span)),
        on=bool(settings.otlp_endpoint) and settings.telemetry == "on",
        parent=parent,
        began_s=began_s,
        # LiveKit's own ids: a room's name is the front end's, and may name a person.
        common={
            "gen_ai.agent.name": settings.agent_name,
            "gen_ai.conversation.id": ctx.job.room.sid,
            "livekit.job.id": ctx.job.id,
            "voicefleet.tier": tier,
        },
    )
    if trace.context is not None:
        bind_call(trace_id=trace.context.trace)
    return trace


def _note(channel: JobChannel, telemetry: CallTelemetry, observation: Observation) -> None:
    if isinstance(observation, ApologySpoken):
        telemetry.apologised(observation.reason in (Reason.UNHEARD, Reason.UNANSWERED))
    channel.send(observation)


def _count_loss(channel: JobChannel, loss: Loss) -> None:
    channel.send(TranscriptLost(loss.value))


def _epoch(given: Mapping[str, str]) -> int:
    text = given.get(EPOCH_ATTRIBUTE, "0")
    return int(text) if text.isdigit() else 0

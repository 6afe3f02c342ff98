"""The entry points of a job process: `setup` before any call, then `entrypoint` for one call.

Both are pickled to the process, so they are functions of this module and find their settings in the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from livekit.agents import Agent, AgentSession, JobContext, JobProcess

from voicefleet.runtime.logs.setup import bind_call, configure_logs, get_logger
from voicefleet.worker.call import AgentFactory, load_factory
from voicefleet.worker.conversation.handover import wait_for_turn
from voicefleet.worker.conversation.resume import Resumption
from voicefleet.worker.job import parts
from voicefleet.worker.job.claim_lease import ClaimLease
from voicefleet.worker.job.live_call import LiveCall
from voicefleet.worker.job.media import Media
from voicefleet.worker.job.parts import Job
from voicefleet.worker.job.session_access import SessionAccess, close_sessions, open_sessions
from voicefleet.worker.providers.pipeline import build_session
from voicefleet.worker.server import settings as settings_module
from voicefleet.worker.server.settings import WorkerSettings
from voicefleet.worker.telemetry.call_telemetry import CallTelemetry
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
        settings.log_format,
        personal_data=settings.log_personal_data,
        worker=settings.worker_id,
        region=settings.region,
    )
    try:
        close_sessions()
        tiers = resolve_tiers(read_tiers(settings.tiers), settings_module.environment())
        proc.userdata[_USERDATA] = Prepared(settings, tiers, load_factory(settings.agent))
    except Exception:
        # What livekit-agents logs about it, in the main process, has neither the type nor the frames.
        log.exception("job process not prepared")
        raise


async def entrypoint(ctx: JobContext) -> None:
    """Serve one call."""
    prepared: Prepared = ctx.proc.userdata[_USERDATA]
    bind_call(room=ctx.job.room.name, job=ctx.job.id)
    ports = parts.open_ports(ctx, prepared.settings)
    await serve(parts.read_job(ctx, prepared.settings, ports), prepared.tiers, prepared.factory)


async def serve(
    job: Job,
    tiers: Tiers,
    factory: AgentFactory,
    make_session: Callable[[ReadyTier], AgentSession[Any]] = build_session,
) -> None:
    """Join the room, and serve the call if it is ours. Returns once the call is under way, or has been left."""
    ctx, ports = job.ctx, job.ports
    lease, media, woken = parts.build_lease(job), Media(ctx.room, ports.clock), asyncio.Event()
    closing = _close_at_the_end(job, lease, media)

    def wake() -> None:
        woken.set()
        lease.renew_soon()

    # The room's connection takes longest, so the rest is made ready beside it.
    connecting = asyncio.create_task(ctx.connect())
    ports.liveness.start(wake)
    recalling = asyncio.create_task(parts.recall(job, connecting))
    if job.settings.telemetry == "on":
        await ports.channel.connect(job.settings.job_socket)
    before = await recalling
    tier = parts.pick_tier(job, tiers, before)
    open_sessions(SessionAccess(tier.tier.text_input, tier.tier.session_host))
    session, call = make_session(tier), parts.build_call(job, tier.name, before)
    trace = parts.build_trace(job, tier.name, before)
    resumption = parts.build_resumption(job, session, call, before)
    agent = await resumption.make_agent(factory)
    await connecting
    media.watch()

    telemetry, apology, senses = parts.build_monitors(job, session, tier, trace)
    live = LiveCall(
        ctx,
        session,
        lease,
        ports.channel,
        media,
        ports.transcripts,
        call,
        clock=ports.clock,
        caller_gone_s=job.settings.caller_gone_s,
        telemetry=telemetry,
        senses=senses,
        trace=trace.header,
    )
    closing.push_async_callback(live.end)
    live.watch()
    media.readings = telemetry.on_rtp_stats
    closing.callback(apology.end)
    apology.watch()
    # Only after a full reconnect: while the SDK resumes a session, the audio goes on.
    ctx.room.on("local_track_republished", lambda *_: apology.reconnected())
    if job.successor:
        await _succeed(job, agent, resumption, live, lease, telemetry, woken)
        return
    if not await lease.acquire(others=live.others_here()):
        log.info("the call is another worker's, leaving", room=job.room, job=job.id)
        ctx.shutdown("claim held by another")
        return
    live.begin()
    await session.start(agent, room=ctx.room)
    live.started()
    telemetry.joined(greets=not call.resumed)


def _close_at_the_end(job: Job, lease: ClaimLease, media: Media) -> contextlib.AsyncExitStack:
    """Have everything closed when the job ends.

    One callback that closes in reverse order: livekit-agents runs several callbacks at the same time. It runs also when
    the job fails half way, so that the claim is given back at once and another worker serves the call.
    """
    closing = contextlib.AsyncExitStack()
    job.ctx.add_shutdown_callback(closing.aclose)
    closing.push_async_callback(job.ports.close)
    closing.push_async_callback(job.ports.channel.close)
    # The claim is given back first: a job that does not listen any more and holds a call counts as dead.
    closing.push_async_callback(job.ports.liveness.end)
    closing.push_async_callback(lease.release)
    closing.callback(media.end)
    return closing


async def _succeed(
    job: Job,
    agent: Agent,
    resumption: Resumption,
    live: LiveCall,
    lease: ClaimLease,
    telemetry: CallTelemetry,
    woken: asyncio.Event,
) -> None:
    """Take a live call over from another job: wait in the room, deaf and mute, until the claim is ours."""
    ctx, ports = job.ctx, job.ports
    await resumption.start_silent(agent, ctx.room)
    live.started(deaf=True)
    ours = await wait_for_turn(
        ports.claims, lease.renew, job.room, job.id, woken=woken, connected=ctx.room.isconnected, clock=ports.clock
    )
    if not ours:
        log.info("the call was not handed over, leaving", room=job.room, job=job.id)
        ctx.shutdown("not handed over")
        return
    live.begin()
    telemetry.joined(greets=False, successor=True)
    await resumption.take_over(agent, await ports.transcripts.read() if ports.transcripts is not None else None)
    live.hear()
    live.save()

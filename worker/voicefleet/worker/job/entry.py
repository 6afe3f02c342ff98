"""The entry points of a job process: `setup` before any call, then `entrypoint` for one call, then `session_end`.

All are pickled to the process, so they are functions of this module and find their settings in the environment.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from livekit.agents import AgentSession, JobContext, JobProcess

from voicefleet.runtime.logs.setup import bind_call, configure_logs, get_logger
from voicefleet.worker.call import CallContext, set_current_call
from voicefleet.worker.conversation.agent_recipe import remember_arguments
from voicefleet.worker.job import parts
from voicefleet.worker.job.attachment import Attachment
from voicefleet.worker.job.parts import Job
from voicefleet.worker.job.session_access import SessionAccess, close_sessions, open_sessions
from voicefleet.worker.job.target import AgentFactory, Target, load_target
from voicefleet.worker.job.tier import choose_tier
from voicefleet.worker.providers.pipeline import build_session
from voicefleet.worker.server import settings as settings_module
from voicefleet.worker.server.settings import WorkerSettings
from voicefleet.worker.tiers.load import Tiers, read_tiers, resolve_tiers

log = get_logger(__name__)

_USERDATA = "voicefleet"

MakeSession = Callable[..., AgentSession[Any]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a job process has ready before a call comes."""

    settings: WorkerSettings
    tiers: Tiers
    target: Target


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
        remember_arguments()
        target = load_target(settings.agent)
        tiers = resolve_tiers(read_tiers(settings.tiers or target.default_tiers), settings_module.environment())
        proc.userdata[_USERDATA] = Prepared(settings, tiers, target)
        if target.setup is not None:
            target.setup(proc)
    except Exception:
        # What livekit-agents logs about it, in the main process, has neither the type nor the frames.
        log.exception("job process not prepared")
        raise


async def entrypoint(ctx: JobContext) -> None:
    """Serve one call."""
    prepared: Prepared = ctx.proc.userdata[_USERDATA]
    bind_call(room=ctx.job.room.name, call=ctx.job.room.sid, job=ctx.job.id)
    ports = parts.open_ports(ctx, prepared.settings)
    await serve(parts.read_job(ctx, prepared.settings, ports), prepared.tiers, prepared.target)


async def session_end(ctx: JobContext) -> None:
    """The `on_session_end` of a team's `AgentServer`."""
    prepared: Prepared = ctx.proc.userdata[_USERDATA]
    if prepared.target.on_session_end is not None:
        await prepared.target.on_session_end(ctx)


async def serve(job: Job, tiers: Tiers, target: Target, make_session: MakeSession = build_session) -> None:
    """Run the team's agent on the call. Returns once its entrypoint has returned, or the call has been left."""
    connection = _Connection(job.ctx)
    if target.factory is not None:
        # The room's connection takes longest, so the rest is made ready beside it. A team's entrypoint connects itself.
        connection.begin()
    recalling = asyncio.create_task(parts.recall(job, connection.begin))
    choosing = asyncio.create_task(choose_tier(job))
    if job.settings.telemetry == "on":
        await job.ports.channel.connect(job.settings.job_socket)
        if tiers.ladder is not None:
            await job.ports.channel.hear_levels()
    attachment = Attachment(job, tiers, await recalling, await choosing)
    # Who is let in is the tier's that was asked for, however fast the call is answered.
    tier = attachment.asked.tier
    open_sessions(SessionAccess(tier.text_input, tier.session_host), attachment)
    set_current_call(attachment.call)
    if target.entrypoint is not None:
        # What a team's own dispatch carried: a dispatch by the controller has it in an envelope.
        job.ctx.job.metadata = job.dispatch.order.metadata
        entry = target.entrypoint(job.ctx)
    else:
        assert target.factory is not None
        entry = _from_factory(job, target.factory, attachment, make_session)
    await attachment.run(_awaited(entry))


class _Connection:
    """The room's connection, made once."""

    def __init__(self, ctx: JobContext) -> None:
        self._ctx = ctx
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Task[None]:
        self._task = self._task or asyncio.create_task(self._ctx.connect())
        return self._task


async def _awaited(entry: Any) -> None:
    await entry


async def _from_factory(job: Job, factory: AgentFactory, attachment: Attachment, make_session: MakeSession) -> None:
    """The entrypoint of a team that gives a factory: we build the session."""
    made = await _made(job, factory, attachment.call)
    agent, options, room_options = (*made, None, None)[:3] if isinstance(made, tuple) else (made, None, None)
    session = make_session(attachment.tier, **{"options": options} if options else {})
    more = {"room_options": room_options} if room_options is not None else {}
    await session.start(agent, room=job.ctx.room, **more)


async def _made(job: Job, factory: AgentFactory, call: CallContext) -> Any:
    """What the factory makes; one that raises over what was kept is called again without it."""

    async def once() -> Any:
        made = factory(call)
        return await made if inspect.isawaitable(made) else made

    try:
        return await once()
    except Exception as error:
        if not call.kept:
            raise
        log.warning("the agent's factory failed, called again without `kept`", error=type(error).__name__)
        parts.drop_kept(job, call)
        return await once()

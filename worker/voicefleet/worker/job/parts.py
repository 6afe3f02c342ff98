"""Builds the parts of a job, each from the settings and from what the job was given: claim, conversation, telemetry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from livekit.agents import AgentSession, JobContext, llm

from voicefleet.contract.calls import LANGUAGE_PATTERN, DispatchMetadata
from voicefleet.contract.dials import OUTBOUND
from voicefleet.contract.keys import Keys
from voicefleet.contract.spans import trace_of_room
from voicefleet.contract.tier_choice import TierChoice
from voicefleet.runtime.clock import Clock, SystemClock
from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import bind_call, get_logger
from voicefleet.runtime.redis.call_log_store import CallLogStore
from voicefleet.runtime.redis.claim_store import ClaimStore
from voicefleet.runtime.redis.connection import Scripts, connect_redis, translate_redis_errors
from voicefleet.runtime.tracing import parse_traceparent
from voicefleet.worker.call import ASKED_AGAIN, HANDED_OVER, RECOVERED, RETURNED, CallActions, CallContext
from voicefleet.worker.conversation.resume import Phrases, Resumption
from voicefleet.worker.conversation.session_state import SessionState, build_session_state
from voicefleet.worker.conversation.transcript import CallTranscript, Loss, build_cipher
from voicefleet.worker.conversation.transcript_store import TranscriptStore
from voicefleet.worker.conversation.work import CallWork
from voicefleet.worker.dead_air.apology import Apology
from voicefleet.worker.dead_air.senses import Senses
from voicefleet.worker.job import sdk
from voicefleet.worker.job.announcer import Announcer
from voicefleet.worker.job.caller_link import callers_in
from voicefleet.worker.job.claim_lease import ClaimLease
from voicefleet.worker.job.ipc import JobChannel
from voicefleet.worker.job.liveness import LivenessSubscription
from voicefleet.worker.job.target import package_of
from voicefleet.worker.providers.limits import limit_realtime
from voicefleet.worker.providers.pipeline import build_vad
from voicefleet.worker.server.admission import EPOCH_ATTRIBUTE, SUCCESSOR_ATTRIBUTE
from voicefleet.worker.server.settings import WorkerSettings
from voicefleet.worker.telemetry.call_facts import CallFacts
from voicefleet.worker.telemetry.call_telemetry import CallTelemetry
from voicefleet.worker.telemetry.call_trace import CallTrace
from voicefleet.worker.telemetry.log_lines import log_turn
from voicefleet.worker.telemetry.observations import ApologySpoken, Observation, Span, TranscriptLost
from voicefleet.worker.tiers.load import ReadyTier

_CONVERSATION_TAKEN_S = 2.5
"""The public adapters wait 5 s; a successor has the call by then, and its caller waits."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ports:
    """What a job reaches the world outside of its room by."""

    clock: Clock
    channel: JobChannel
    claims: ClaimStore
    liveness: LivenessSubscription
    transcripts: TranscriptStore | None
    """None: conversations are not stored."""
    facts: CallFacts
    logs: CallLogStore
    close: Callable[[], Awaitable[None]]
    tier_choice: Callable[[], Awaitable[TierChoice | None]]
    """What the controller says of the pool's tier. Raises `UnknownStateError`."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a job knows before it does anything. `epoch` is 0 when the call was accepted while Redis was away."""

    ctx: JobContext
    settings: WorkerSettings
    ports: Ports
    dispatch: DispatchMetadata
    epoch: int
    successor: bool
    """The job is to take a live call over from another one."""
    began_s: float
    """Unix time."""

    @property
    def room(self) -> str:
        return self.ctx.job.room.name

    @property
    def room_sid(self) -> str:
        return self.ctx.job.room.sid

    @property
    def outbound(self) -> bool:
        """The controller calls a number: nobody is to be spoken to before somebody has answered."""
        return OUTBOUND in self.dispatch.extra

    @property
    def id(self) -> str:
        return self.ctx.job.id


def open_ports(ctx: JobContext, settings: WorkerSettings) -> Ports:
    """Connect the job to Redis; the channel to the main process is connected later, beside the room."""
    redis = connect_redis(settings.redis_url.get_secret_value())
    keys, clock, scripts = Keys(settings.region), SystemClock(), Scripts(redis)
    room = ctx.job.room
    logs = CallLogStore(redis, scripts, settings.region)
    facts = CallFacts(logs, room=room.name, room_sid=room.sid, job=ctx.job.id, clock=clock)

    def observed(observation: Observation) -> None:
        facts.observed(observation)
        log_turn(observation)

    channel = JobChannel(observed)
    transcripts = None
    if settings.transcript == "on":
        transcripts = TranscriptStore(
            redis,
            keys,
            ctx.job.room.name,
            ctx.job.id,
            ttl_s=settings.transcript_ttl_s,
            max_bytes=settings.transcript_max_bytes,
            cipher=build_cipher(settings.transcript_key.get_secret_value()),
            plaintext=settings.transcript_plaintext == "read",
            lost=lambda loss: channel.send(TranscriptLost(loss.value)),
        )

    async def close() -> None:
        await facts.close()
        await redis.aclose()

    async def tier_choice() -> TierChoice | None:
        with translate_redis_errors():
            return TierChoice.decode(str(await redis.get(keys.tier_choice) or ""))

    return Ports(
        tier_choice=tier_choice,
        clock=clock,
        channel=channel,
        claims=ClaimStore(scripts, settings.region),
        liveness=LivenessSubscription(redis, keys.job_channel(ctx.job.id)),
        transcripts=transcripts,
        facts=facts,
        logs=logs,
        close=close,
    )


def read_job(ctx: JobContext, settings: WorkerSettings, ports: Ports) -> Job:
    """What LiveKit and our own worker gave this job."""
    given = sdk.accepted_attributes(ctx)
    epoch = given.get(EPOCH_ATTRIBUTE, "0")
    return Job(
        ctx,
        settings,
        ports,
        dispatch=DispatchMetadata.decode(ctx.job.metadata),
        epoch=int(epoch) if epoch.isdigit() else 0,
        successor=given.get(SUCCESSOR_ATTRIBUTE) == "1",
        began_s=ports.clock.wall().timestamp(),
    )


def build_lease(job: Job) -> ClaimLease:
    """The lease on the job's call, not acquired yet."""
    return ClaimLease(
        job.ports.claims,
        room=job.room,
        room_sid=job.room_sid,
        worker=job.settings.worker_id,
        job=job.id,
        epoch=job.epoch,
        attempt=job.dispatch.attempt,
        clock=job.ports.clock,
    )


async def recall(job: Job, connect: Callable[[], Awaitable[None]]) -> CallTranscript | None:
    """The transcript of this very call, if another job had it before. `connect` joins the room."""
    if job.ports.transcripts is None:
        return None
    before = await job.ports.transcripts.read()
    if before is None or before.sid == job.room_sid:
        return before
    await connect()
    now_s = job.ports.clock.wall().timestamp()
    known = any(before.is_of(job.room_sid, identity, now_s) for identity in job.ctx.room.remote_participants)
    return before if known else None


def _why(before: CallTranscript | None) -> str:
    """Why a call that nobody hands over has a conversation already; empty: it has none."""
    if before is None:
        return ""
    if before.released:
        return ASKED_AGAIN
    return RETURNED if before.left_s else RECOVERED


def build_call(job: Job, tier: str, before: CallTranscript | None, actions: CallActions) -> CallContext:
    """What the team's agent is given."""
    job.ports.facts.describe(tier, job.dispatch.order.language)
    why = HANDED_OVER if job.successor else _why(before)
    kept = dict(before.kept) if before is not None else {}
    return CallContext(
        job.settings.region,
        job.room,
        tier,
        job.dispatch.order,
        job.settings.worker_id,
        why,
        kept,
        actions=actions,
    )


def drop_kept(job: Job, call: CallContext) -> None:
    """The team's code raised on what it had kept: it goes on without."""
    call.kept.clear()
    job.ports.channel.send(TranscriptLost(Loss.RESTORE_FAILED.value))


def build_state(job: Job, session: AgentSession[Any], call: CallContext, work: CallWork) -> SessionState:
    """What goes with the call beside the conversation."""
    channel = job.ports.channel
    return build_session_state(
        session,
        call,
        job.ctx,
        work=work,
        own_package=package_of(job.settings.agent),
        lost=lambda loss: channel.send(TranscriptLost(loss.value)),
    )


def resume_phrases(job: Job, tier: ReadyTier) -> Phrases:
    """First words after a recovery: the worker's own setting, else those in the language of the call."""
    settings, language = job.settings, job.dispatch.order.language
    spoken = tier.phrases.pick(language)
    if not spoken.known:
        tag = language if LANGUAGE_PATTERN.match(language) else "not a language tag"
        log.info("no phrases in the call's language, the tier's own is spoken", language=tag, tier=tier.name)
    return Phrases(
        spoken.resume if settings.resume_phrase is None else settings.resume_phrase,
        spoken.resume_answer if settings.resume_answer_phrase is None else settings.resume_answer_phrase,
    )


def build_resumption(
    job: Job,
    session: AgentSession[Any],
    call: CallContext,
    tier: ReadyTier,
    before: CallTranscript | None,
    state: SessionState,
) -> Resumption:
    """Has the agent carry on where another one left off."""
    channel = job.ports.channel
    return Resumption(
        session,
        call,
        before,
        resume_phrases(job, tier),
        agents=state.agents,
        userdata=state.userdata,
        clock=job.ports.clock,
        lost=lambda loss: channel.send(TranscriptLost(loss.value)),
        send=channel.send,
    )


def build_trace(job: Job, tier: str, before: CallTranscript | None) -> CallTrace:
    """The call's trace: the one that the dispatch carries, else the one of the job that had the call before, else the
    one of its room. Its id stands on every line from here on, and in the call's log."""
    parent = parse_traceparent(job.dispatch.order.traceparent) or parse_traceparent(before.trace if before else "")
    trace = CallTrace(
        lambda span: job.ports.channel.send(Span(span)),
        on=bool(job.settings.otlp_endpoint) and job.settings.telemetry == "on",
        parent=parent,
        trace=trace_of_room(job.room_sid),
        began_s=job.began_s,
        # LiveKit's own ids: a room's name is the front end's, and may name a person.
        common={
            "gen_ai.agent.name": job.settings.agent_name,
            "gen_ai.conversation.id": job.room_sid,
            "livekit.job.id": job.id,
            "voicefleet.tier": tier,
        },
    )
    bind_call(trace_id=trace.context.trace)
    job.ports.facts.trace = trace.context.trace
    return trace


def limit_models(job: Job, session: AgentSession[Any]) -> None:
    """A realtime model, of the session or of any of its agents, that does not take the conversation costs the call a
    part of its memory, and nothing else."""

    def failed(error: Exception) -> None:
        log.warning("the realtime model did not take the conversation, the call goes on", error=error_summary(error))
        job.ports.channel.send(TranscriptLost(Loss.NOT_TAKEN))

    def limit(model: Any) -> None:
        if isinstance(model, llm.RealtimeModel):
            limit_realtime(model, _CONVERSATION_TAKEN_S, failed)

    limit(session.llm)
    sdk.before_each_agent(session, lambda agent: limit(agent.llm))


def build_monitors(
    job: Job, session: AgentSession[Any], tier: ReadyTier, trace: CallTrace
) -> tuple[CallTelemetry, Apology, Senses]:
    """Telemetry and dead air, which need each other: a turn that was apologised for has no answer to wait for, and a
    caller who is not heard waits all the same."""

    def send(observation: Observation) -> None:
        job.ports.channel.send(observation)
        if isinstance(observation, ApologySpoken):
            telemetry.apologised(observation.reason)

    announcer = Announcer(job.ctx.room)
    apology = Apology(
        session, tier, job.ports.clock, send, language=job.dispatch.order.language, announce=announcer.announce
    )
    senses = Senses(session, job.ports.clock, build_vad=lambda: build_vad(tier), on=job.settings.senses == "on")
    apology.unheard, senses.unrepaired = senses.unheard_turn, apology.not_heard

    def waits_since() -> float | None:
        since = (apology.waits_since_s, senses.troubled_since_s)
        return min((s for s in since if s is not None), default=None)

    telemetry = CallTelemetry(
        session,
        tier.name,
        job.ports.channel.send,
        trace,
        job.ports.clock,
        waits_since=waits_since,
        caller_there=lambda: bool(callers_in(job.ctx.room)),
        note=job.ports.facts.note,
        on=job.settings.telemetry == "on",
    )
    return telemetry, apology, senses

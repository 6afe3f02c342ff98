"""Attaches a call's claim, conversation, recovery, handoff, apology and telemetry to the session that serves it.

Whoever builds the session, our factory's entry or a team's own entrypoint, starts it by `AgentSession.start`; there
`session_access` calls `Attachment.start` in its place. So a team's file runs as it is:

    new call     claim acquired -> session starts -> start() returns, the entrypoint goes on
    recovered    the same, with the conversation restored; the entrypoint's own greeting is not said again
    successor    session starts deaf and mute -> waits for its turn -> start() returns once the call is ours
    not ours     start() never returns: the entrypoint is cancelled, the job leaves

A session beside the first one (a team's second agent) is started as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from typing import Any

from livekit.agents import Agent, AgentSession

from voicefleet.contract.responses import TaskResult
from voicefleet.contract.tier_choice import TierChoice
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.worker.call import ASKED_AGAIN
from voicefleet.worker.conversation.call_end import Hook, run_call_end
from voicefleet.worker.conversation.handover import wait_for_turn
from voicefleet.worker.conversation.resume import Resumption
from voicefleet.worker.conversation.session_state import SessionState
from voicefleet.worker.conversation.transcript import CallTranscript
from voicefleet.worker.conversation.work import CallWork, patience_s
from voicefleet.worker.job import parts, sdk, sdk_work
from voicefleet.worker.job.all_callers import hear_all
from voicefleet.worker.job.avatar import wait_for_avatar
from voicefleet.worker.job.call_ladder import build_live_step
from voicefleet.worker.job.callee import wait_for_answer
from voicefleet.worker.job.caller_link import CallerLink
from voicefleet.worker.job.claim_lease import ClaimLease
from voicefleet.worker.job.ending import Ending
from voicefleet.worker.job.live_call import LiveCall
from voicefleet.worker.job.media import Media
from voicefleet.worker.job.parts import Job
from voicefleet.worker.job.session_wait import SessionWait
from voicefleet.worker.job.subscription import assume_subscribers
from voicefleet.worker.job.tier import first_tier, pick_tier
from voicefleet.worker.job.transfer import TRANSFERRED, transfer
from voicefleet.worker.ladder.live_step import LiveStep
from voicefleet.worker.providers.pipeline import fit_session
from voicefleet.worker.telemetry.call_facts import Note
from voicefleet.worker.telemetry.call_telemetry import CallTelemetry
from voicefleet.worker.telemetry.observations import CallReleased, HookFailed, TaskReported
from voicefleet.worker.tiers.load import ReadyTier, Tiers

LONGEST_TASK = 40
"""Characters of a task's name that are kept."""

GREETING_S = 2.0
"""What an entrypoint says within this time after `start` is its greeting."""

Begin = Callable[..., Coroutine[Any, Any, Any]]
"""`AgentSession.start` itself."""

log = get_logger(__name__)


class Attachment:
    """One job's call, before and after it has a session.

    Args:
        before: the conversation that another job had with this caller.
        choice: what the controller says of the tier of calls that name none.
    """

    def __init__(self, job: Job, tiers: Tiers, before: CallTranscript | None, choice: TierChoice | None = None) -> None:
        self._job = job
        self._before = before
        self._tiers = tiers
        self.asked: ReadyTier = pick_tier(job, tiers, before, choice)
        self.tier: ReadyTier = first_tier(self.asked, tiers, before, job.ports.channel.level)
        """The one that the session starts with; on a worker with a ladder perhaps not the one that was asked for."""
        self._work = CallWork(patience_s(job.settings.drain_timeout_s))
        self.call = parts.build_call(job, self.asked.name, before, self)
        self._trace = parts.build_trace(job, self.asked.name, before)
        self._lease: ClaimLease = parts.build_lease(job)
        self._media = Media(job.ctx.room, job.ports.clock)
        self._woken = asyncio.Event()
        self._entry: asyncio.Task[None] | None = None
        self._session: AgentSession[Any] | None = None
        self._wait = SessionWait(job, self._lease, self._leave)
        self._begun = False
        """Its start has succeeded."""
        self._left = False
        self._on_call_end: Hook | None = None
        self._telemetry: CallTelemetry | None = None
        self._ending = Ending(job.ctx, self._lease, lambda why: job.ports.channel.send(CallReleased(why.value)))
        self._ending.watch()
        before_caller = before.caller if before is not None else ""
        self._link = CallerLink(
            job.ctx.room,
            (job.dispatch.caller, before_caller),
            unknown_role=lambda: job.ports.channel.send(HookFailed("role")),
        )
        self._closing = self._close_at_the_end()
        job.ports.liveness.start(self._wake)

    def _wake(self) -> None:
        self._woken.set()
        self._lease.renew_soon()

    def _close_at_the_end(self) -> contextlib.AsyncExitStack:
        """Have everything closed when the job ends.

        One callback that closes in reverse order: livekit-agents runs several callbacks at the same time. It runs also
        when the job fails half way, so that the claim is given back at once and another worker serves the call.
        """
        job, closing = self._job, contextlib.AsyncExitStack()
        job.ctx.add_shutdown_callback(closing.aclose)
        closing.push_async_callback(job.ports.close)
        closing.push_async_callback(job.ports.channel.close)
        # The claim is given back first: a job that does not listen any more and holds a call counts as dead.
        closing.push_async_callback(job.ports.liveness.end)
        closing.push_async_callback(self._ending.finish)
        closing.push_async_callback(self._wait.end)
        closing.callback(self._media.end)
        return closing

    # The entrypoint

    async def run(self, entry: Coroutine[Any, Any, None]) -> None:
        """Run the entrypoint. Returns when it has returned, or when the call has been left."""
        self._entry = asyncio.create_task(entry)
        self._wait.begin()
        try:
            await self._entry
        except asyncio.CancelledError:
            if not self._left:
                raise
        except Exception:
            if not self._begun:
                raise
            # The session is there and serves the caller: what failed is what the team does beside it.
            log.exception("the entrypoint failed after its session had started, the call goes on")
            self._job.ports.channel.send(HookFailed("entrypoint"))

    def _leave(self, why: str) -> None:
        self._left = True
        self._ending.leave(why)
        if self._entry is not None:
            self._entry.cancel()

    async def _leave_for_good(self, why: str) -> None:
        log.info("leaving the call", room=self._job.room, job=self._job.id, reason=why)
        self._leave(why)
        # Whatever a team's code makes of a cancellation, what it would do with a session is not done.
        await asyncio.get_running_loop().create_future()

    # The session

    def takes(self, session: AgentSession[Any]) -> bool:
        """Whether `session` is the one that serves the call: the first that starts."""
        if self._session is None or self._session is session:
            return True
        log.warning("a second session was started in this job: it has neither the call's claim nor its conversation")
        return False

    async def start(self, session: AgentSession[Any], agent: Agent, begin: Begin, options: dict[str, Any]) -> Any:
        """Start `session` as the one that serves the call; `begin(session, agent, **options)` starts it."""
        job = self._job
        self._session = session
        if not job.successor:
            await self._wait.end()
        connecting = asyncio.create_task(job.ctx.connect())
        own = sdk.stages_of(session) if self._tiers.ladder is not None else {}
        fit_session(session, agent, self.tier)
        parts.limit_models(job, session)
        state = parts.build_state(job, session, self.call, self._work)
        resumption = parts.build_resumption(job, session, self.call, self.tier, self._before, state)
        agent = await resumption.prepare(agent)
        await connecting
        self._media.watch()
        listeners = asyncio.create_task(assume_subscribers(job.ctx.room, job.ports.clock))
        self._closing.callback(listeners.cancel)
        live, telemetry, step = self._watch(session, state, resumption, own)
        if "audio_input" in self.tier.tier.model_fields_set:
            sound = self.tier.tier.audio_input
            options = sdk.with_audio_input(options, sound.frame_ms, sound.sample_rate)
        options = self._link.options(session, options)
        if live.neighbour_here():
            await self._leave_for_good("an agent of the team's own serves the call")
        if job.successor:
            result = await self._succeed(session, resumption, live, telemetry, lambda: begin(session, agent, **options))
        else:
            if not await self._lease.acquire(others=live.others_here()):
                await self._leave_for_good("claim held by another")
            live.begin()
            if not await wait_for_answer(job.ctx.room, expected=job.outbound):
                await self._leave_for_good("nobody answered")
            result = await begin(session, agent, **options)
            self._hear(session)
            live.started()
            telemetry.joined(greets=self._greets)
        self._begun = True
        if step is not None:
            step.began(sdk.stages_of(session))
        log.info("agent joined", how=self.call.resumed or "answered", tier=self.tier.name)
        if not self._greets:
            self._hold_greeting(session)
        return result

    def _hear(self, session: AgentSession[Any]) -> None:
        """Have the session, which has started, hear whom the tier says."""
        if self.tier.tier.listen_to == "all":
            everyone = hear_all(session, self._job.ctx.room, self._link)
            if everyone is not None:
                self._closing.push_async_callback(everyone.aclose)

    @property
    def _greets(self) -> bool:
        """The caller is to hear a greeting: nobody had the call, or an agent is asked for again."""
        return self.call.resumed in ("", ASKED_AGAIN)

    def _watch(
        self, session: AgentSession[Any], state: SessionState, resumption: Resumption, own: Mapping[str, Any]
    ) -> tuple[LiveCall, CallTelemetry, LiveStep | None]:
        job, ports = self._job, self._job.ports
        telemetry, apology, senses = parts.build_monitors(job, session, self.tier, self._trace)
        self._telemetry = telemetry
        live = LiveCall(
            job.ctx,
            session,
            self._lease,
            ports.channel,
            self._media,
            ports.transcripts,
            self.call,
            clock=ports.clock,
            caller_gone_s=job.settings.caller_gone_s,
            outbound=job.outbound,
            return_wait_s=job.settings.return_wait_s,
            carry_on=resumption.carry_on,
            link=self._link,
            ending=self._ending,
            agent_name=job.settings.agent_name,
            telemetry=telemetry,
            state=state,
            senses=senses,
            trace=self._trace.header,
            voice_tier=self._voice_tier,
            note=ports.facts.note,
        )
        # Before the claim is given back, and after the end of the call is known.
        self._closing.push_async_callback(self._end_of_call, session, live)
        self._closing.push_async_callback(live.end)
        self._ending.watch_session(session)
        self._link.watch()
        live.watch()
        self._media.readings = telemetry.on_rtp_stats
        self._closing.callback(apology.end)
        apology.watch()
        step = None
        if self._tiers.ladder is not None:
            step = build_live_step(
                job,
                session,
                self._tiers,
                self.asked,
                self.tier,
                own,
                between_turns=live.between_turns,
                telemetry=telemetry,
                apology=apology,
            )
            self._closing.push_async_callback(step.end)

        # Only after a full reconnect: while the SDK resumes a session, the audio goes on.
        def reconnected(*_: Any) -> None:
            ports.facts.note(Note.RECONNECTED)
            apology.reconnected()

        job.ctx.room.on("local_track_republished", reconnected)
        return live, telemetry, step

    @property
    def _voice_tier(self) -> str:
        """The tier whose voice the caller knows; empty: that of the tier that the call asked for."""
        if self._before is not None:
            return self._before.voice
        return self.tier.name if self.tier is not self.asked else ""

    async def _end_of_call(self, session: AgentSession[Any], live: LiveCall) -> None:
        agent, job = sdk_work.outer_agent(session), self._job
        hook = getattr(agent, "on_call_end", None) or self._on_call_end
        if hook is not None and live.over:
            await run_call_end(
                hook,
                job.ports.logs,
                job.room,
                job.room_sid,
                written=job.ports.facts.close(),
                failed=lambda: job.ports.channel.send(HookFailed("on_call_end")),
            )

    async def _succeed(
        self,
        session: AgentSession[Any],
        resumption: Resumption,
        live: LiveCall,
        telemetry: CallTelemetry,
        begin: Callable[[], Awaitable[Any]],
    ) -> Any:
        """Take a live call over from another job: wait in the room, deaf and mute, until the claim is ours."""
        job, ports = self._job, self._job.ports
        session.input.set_audio_enabled(False)
        session.output.set_audio_enabled(False)
        result = await begin()
        self._hear(session)
        live.started(deaf=True)
        await wait_for_avatar(session)
        await self._wait.end()
        ours = await wait_for_turn(
            ports.claims,
            self._lease.renew,
            job.room,
            job.id,
            woken=self._woken,
            connected=job.ctx.room.isconnected,
            clock=ports.clock,
        )
        if not ours:
            await self._leave_for_good("not handed over")
        # A realtime model may take seconds to take the conversation.
        live.keep_words()
        live.begin()
        telemetry.joined(greets=False, successor=True)
        await resumption.take_over(await ports.transcripts.read() if ports.transcripts is not None else None)
        live.hear()
        live.save()
        return result

    def _hold_greeting(self, session: AgentSession[Any]) -> None:
        """Have the entrypoint's greeting not said to a caller who has been greeted: what its own task asks for within
        a moment. Tools, events and other tasks of the team speak as they always do."""
        clock = self._job.ports.clock
        until_s = clock.monotonic() + GREETING_S

        def unless_greeting(say: Callable[..., Any]) -> Callable[..., Any]:
            def said(*args: Any, **kwargs: Any) -> Any:
                if asyncio.current_task() is self._entry and clock.monotonic() < until_s:
                    log.info("the entrypoint's greeting is not said again: the call was another job's")
                    return sdk.finished_speech()
                return say(*args, **kwargs)

            return said

        vars(session)["say"] = unless_greeting(session.say)
        vars(session)["generate_reply"] = unless_greeting(session.generate_reply)

    # What the team's code asks for

    async def transfer_to(self, to: str, *, play_dialtone: bool, headers: Mapping[str, str]) -> None:
        """See `CallContext.transfer_to`."""
        ctx = self._job.ctx
        with self._work.busy("transfer"):
            await transfer(ctx.api, ctx.room, to, play_dialtone=play_dialtone, headers=headers)
        self.release(TRANSFERRED)

    def busy(self, name: str) -> AbstractContextManager[None]:
        """See `CallContext.busy`."""
        return self._work.busy(name)

    def report(self, success: bool, task: str) -> None:
        """See `CallContext.report`."""
        result = TaskResult.SUCCESS if success else TaskResult.FAILURE
        if success and self._telemetry is not None:
            self._telemetry.task_done()
        self._job.ports.channel.send(TaskReported(self.tier.name, result.value, task[:LONGEST_TASK]))

    def on_call_end(self, hook: Hook) -> None:
        """See `CallContext.on_call_end`."""
        self._on_call_end = hook

    def release(self, reason: str) -> None:
        """See `CallContext.release`."""
        self._ending.release(reason)
        if self._session is None:
            self._leave(reason)
        else:
            self._session.shutdown()

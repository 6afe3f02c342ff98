"""Watches one call in progress: its claim, its caller, its turns, its transcript."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession, JobContext

from voicefleet.contract.neighbours import is_neighbour
from voicefleet.contract.probe import WORKER_ATTRIBUTE
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.runtime.tracing import parse_traceparent
from voicefleet.worker.call import CallContext
from voicefleet.worker.conversation.handover import Handover
from voicefleet.worker.conversation.resume import conversation
from voicefleet.worker.conversation.session_state import SessionState
from voicefleet.worker.conversation.transcript import CallTranscript
from voicefleet.worker.conversation.transcript_store import TranscriptStore
from voicefleet.worker.conversation.work import kind_of
from voicefleet.worker.dead_air.senses import Senses
from voicefleet.worker.job.avatar import AvatarWatch
from voicefleet.worker.job.caller_link import PRESENCE_EVENTS, CallerLink, callers_in
from voicefleet.worker.job.caller_wait import CallerWait
from voicefleet.worker.job.claim_lease import ClaimLease
from voicefleet.worker.job.ending import Ending
from voicefleet.worker.job.ipc import JobChannel
from voicefleet.worker.job.media import Media
from voicefleet.worker.job.voice import OURS_KEPT_S, Voice, put_gate
from voicefleet.worker.telemetry.call_facts import Note
from voicefleet.worker.telemetry.call_telemetry import CallTelemetry
from voicefleet.worker.telemetry.observations import CallEnded, HandoffHeld

_AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
RELEASE_STORE_LIMIT_S = 0.3
_ROOM_OVER = frozenset({rtc.DisconnectReason.ROOM_DELETED, rtc.DisconnectReason.ROOM_CLOSED})

OUTBOUND_S = 180.0
"""A number is dialled soon after the agent is there, and rings for 80 s at the most; the controller closes the room of
one that nobody answers."""

log = get_logger(__name__)


class LiveCall:
    """One call as its job sees it. `watch` before the session starts, `started` after, `begin` when it is our call."""

    def __init__(
        self,
        ctx: JobContext,
        session: AgentSession[Any],
        lease: ClaimLease,
        channel: JobChannel,
        media: Media,
        transcripts: TranscriptStore | None,
        call: CallContext,
        *,
        link: CallerLink,
        ending: Ending,
        agent_name: str,
        clock: Clock,
        caller_gone_s: float,
        outbound: bool = False,
        return_wait_s: float,
        telemetry: CallTelemetry,
        state: SessionState,
        carry_on: Callable[[], Awaitable[None]],
        senses: Senses,
        trace: str = "",
        voice_tier: str = "",
        note: Callable[[Note], None] = lambda _: None,
    ) -> None:
        self._ctx = ctx
        self._session = session
        self._lease = lease
        self._channel = channel
        self._media = media
        self._transcripts = transcripts
        self._call = call
        self._link = link
        self._ending = ending
        self._agent_name = agent_name
        self._clock = clock
        self._state = state
        self._telemetry = telemetry
        self._senses = senses
        self._trace = trace
        self._voice_tier = voice_tier
        self._note = note
        self._voice = Voice(ctx.room, session)
        self._avatar = AvatarWatch(session, ctx.room)
        self._handover = Handover(
            session,
            lease,
            transcripts=transcripts,
            store=self.save,
            present=lambda identity: identity in ctx.room.remote_participants,
            work=state.work,
            speech_pending=state.session_work.speech_pending,
            held=self._on_held,
            voiceless=lambda: self._avatar.lost,
            clock=clock,
        )
        self._keeping: asyncio.Task[None] | None = None
        self._handing_over: asyncio.Task[None] | None = None
        self._waiting = CallerWait(
            ctx.room,
            session,
            self._voice,
            clock,
            return_wait_s=return_wait_s,
            caller_gone_s=caller_gone_s,
            first_s=OUTBOUND_S if outbound else caller_gone_s,
            speech_pending=state.session_work.speech_pending,
            carry_on=carry_on,
            leave=ending.leave,
        )
        self._leaving: asyncio.Task[None] | None = None
        self._released = False
        self.over = False
        """Once it has ended: whether the call ended with this job."""
        self._room_over = False
        self._result = "completed"

    def watch(self) -> None:
        """Hear of the caller and of the session; before it starts, so that no event is missed."""
        session, room = self._session, self._ctx.room
        session.on("conversation_item_added", lambda _: self.save())
        session.on("function_tools_executed", lambda _: self.save())
        # What is cut off when this job dies is what was under way at the last of these.
        session.on("tool_execution_updated", lambda _: self.save())
        self._state.work.changed = self.save
        self._telemetry.watch()
        self._senses.troubled = self._lease.renew_soon
        self._senses.held_back = self._held_back
        self._senses.watch()
        self._handover.watch()
        for event in PRESENCE_EVENTS:
            room.on(event, self._look_around if event == "participant_disconnected" else self._look_around_again)
        self._avatar.watch()
        room.on("disconnected", self._on_disconnected)
        self._ending.before_release = self._store_released
        self._look_around()

    def started(self, *, deaf: bool = False) -> None:
        """The session has started. `deaf`: what the caller says is kept for `hear`, the last moment of it."""
        self._waiting.started()
        self._handover.gate = put_gate(self._session, closed=deaf)
        if self._handover.gate is not None:
            self._senses.listen(self._handover.gate)
        if deaf and self._handover.gate is not None:
            self._session.input.set_audio_enabled(True)

    def keep_words(self) -> None:
        """Nobody else hears the caller any more: what is said until `hear` is not lost."""
        if self._handover.gate is not None:
            self._handover.gate.keep(OURS_KEPT_S)

    def hear(self) -> None:
        """Listen to the caller from here on."""
        if self._handover.gate is not None:
            self._handover.gate.close(False)

    def begin(self) -> None:
        """The call is ours: renew its claim from now on, and count it."""
        self._keeping = asyncio.create_task(self._hold_lease())
        self._telemetry.begin()
        self._senses.begin()

    def between_turns(self) -> bool:
        """Whether nobody speaks, no answer is due, and nothing is under way."""
        return self._handover.between_turns()

    def others_here(self) -> bool:
        """Whether another agent of the fleet is in the room."""
        others = self._ctx.room.remote_participants.values()
        return any(p.kind == _AGENT and WORKER_ATTRIBUTE in p.attributes for p in others)

    def neighbour_here(self) -> bool:
        """Whether an agent of the team's own worker, under the fleet's agent name, is in the room: the call is its."""
        others = self._ctx.room.remote_participants.values()
        return any(p.kind == _AGENT and is_neighbour(p.attributes, self._agent_name) for p in others)

    def save(self) -> None:
        """Store the conversation, in the background."""
        if self._transcripts is not None and self._keeping is not None and not self._lease.lost:
            self._transcripts.save(self._transcript_now)

    async def _store_released(self) -> None:
        """Whoever is asked for is to know that this agent left on purpose."""
        self._released = True
        self.save()
        if self._transcripts is not None:
            await self._transcripts.flush(RELEASE_STORE_LIMIT_S)

    async def end(self) -> None:
        """Stop watching and report the end; the room is left already."""
        await self._waiting.end()
        await self._senses.end()
        await cancel_and_wait(task for task in (self._keeping, self._handing_over, self._leaving) if task is not None)
        if self._keeping is not None:
            if self._lease.released:
                self._result = "released"
            # livekit-agents ends a job in a task of its own, which has none of the call's ids.
            trace = parse_traceparent(self._trace)
            log.info(
                "agent's part of the call over",
                room=self._call.room,
                call=self._ctx.job.room.sid,
                job=self._ctx.job.id,
                trace_id=trace.trace if trace else "",
                result=self._result,
            )
            self._channel.send(CallEnded(self._result))
            await self._telemetry.end(self._result)
        # As long as the caller is there, another agent may yet go on with the call.
        gone = self._room_over or not callers_in(self._ctx.room)
        self.over = self._keeping is not None and not self._lease.lost and (gone or self._lease.released)
        if self._transcripts is not None:
            forget = self.over and gone
            if forget and self._waiting.left_s and not self._room_over:
                # Its job ends, and it may be back all the same.
                self._transcripts.keep_for(self._waiting.kept_for_s())
                self.save()
                forget = False
            await self._transcripts.close(forget=forget)

    def _transcript_now(self) -> CallTranscript:
        items, at_s = conversation(self._session), round(self._clock.wall().timestamp(), 3)
        sid, kept = self._ctx.job.room.sid, dict(self._call.kept)
        return CallTranscript(
            self._call.tier,
            items,
            kept,
            sid,
            self._link.caller,
            at_s,
            self._trace,
            agent=self._state.agents.stored(),
            userdata=self._state.userdata.changed(),
            work=self._state.work.under_way(),
            left_s=self._waiting.left_s,
            released=self._released,
            voice=self._voice_tier,
        )

    # The claim

    async def _hold_lease(self) -> None:
        await self._lease.renew_until_lost(
            self._ctx.room.isconnected,
            trouble=lambda: self._media.trouble or self._senses.trouble,
            stalled=self._doubt,
            renewed=self._on_renewed,
        )
        if self._lease.released:
            return
        if not self._lease.handed_over:
            log.warning("the call is another worker's now, leaving", room=self._call.room, job=self._ctx.job.id)
            await self._leave("taken_over")

    def _doubt(self, doubtful: bool) -> None:
        if doubtful:
            log.warning("this process did not run for a while, silent until the claim is confirmed")
            self._note(Note.STALLED)
        self._voice.mute(doubtful)

    def _held_back(self) -> bool:
        """Whether it is known why the agent is not heard: we mute it, or the way to LiveKit is interrupted."""
        connected = self._ctx.room.connection_state == rtc.ConnectionState.CONN_CONNECTED
        return self._voice.muted or self._voice.held or not connected or bool(self._media.trouble)

    def _on_renewed(self) -> None:
        busy = self._handing_over is not None and not self._handing_over.done()
        if self._lease.handoff is not None and not busy:
            self._handing_over = asyncio.create_task(self._hand_over())

    async def _hand_over(self) -> None:
        if await self._handover.run():
            log.info("call handed over")
            await self._leave("handed_over")

    async def _leave(self, result: str) -> None:
        self._result = result
        # Nobody waits for what the recogniser may still make of the caller's words: the slot is wanted.
        self._session.options.session_close_transcript_timeout = 0.0
        # Silence first: the audio already queued must not be heard beside the new agent's.
        self._voice.mute(True)
        await self._ctx.room.disconnect()
        self._ending.leave(result)

    # The caller

    def _look_around(self, left: rtc.RemoteParticipant | None = None) -> None:
        self._telemetry.look_around()
        if self._keeping is not None and self._leaving is None and not self._lease.lost and self.neighbour_here():
            # It does not know of us, and speaks whatever we do.
            log.warning("an agent of the team's own is in the room, leaving the call to it", room=self._call.room)
            self._leaving = asyncio.create_task(self._leave("taken_over"))
        self._waiting.look(left)

    def _look_around_again(self, *_: Any) -> None:
        self._look_around()

    def _on_held(self, work: tuple[str, ...], cut: bool) -> None:
        for kind in sorted({kind_of(name) for name in work}):
            self._channel.send(HandoffHeld(kind, "cut" if cut else "waited"))

    def _on_disconnected(self, reason: Any) -> None:
        self._room_over = reason in _ROOM_OVER

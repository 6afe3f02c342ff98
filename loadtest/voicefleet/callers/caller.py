"""One simulated caller in one room: it joins, asks questions, times what it hears, and hangs up.

The conversation is `dialogue.py`; this module is the room around it. Everything that happens in the
room is reported to the dialogue at once, and its `tick` decides what to do next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from livekit import rtc

from voicefleet.callers.behavior import Ask, CallerBehavior, HangUp, Say
from voicefleet.callers.connection import RoomConnection
from voicefleet.callers.dialogue import Dialogue, Note
from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.tracks import SAMPLE_RATE, Heard, SpeechSource, TrackListener
from voicefleet.contract.api import CallTicket
from voicefleet.contract.apologies import APOLOGY_ATTRIBUTE, WORKING, apology_reason
from voicefleet.contract.waiting_voice import is_waiting_voice
from voicefleet.runtime.clock import Clock, SystemClock
from voicefleet.speech.clips import Utterance
from voicefleet.speech.onset_detector import Samples

OnEvent = Callable[[str, str, float, Mapping[str, Any]], None]
"""``on_event(call_id, kind, t_s, data)``: t_s is seconds since the join, on the caller's clock."""

_PUBLISH_GRACE_S = 2.0


MakeDialogue = Callable[[float, Note], Dialogue]
"""``make(joined_s, note)``: the conversation that a caller has, made at the moment of joining."""

RoomAct = Callable[[rtc.Room], Awaitable[None]]
"""Something that a caller's client does in its room, beside sending the caller's voice."""


def _ignore(_call: str, _kind: str, _t_s: float, _data: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class CallerSettings:
    """How callers behave.

    Attributes:
        behavior: time-outs and patience.
        connect_timeout_s: a join that takes longer has failed.
        options: passed to `room.connect`; None for the SDK's defaults.
        before_question, after_question: what the client does just before a question's first word and after its last,
            such as pressing and releasing a button; what they raise breaks the call.
        background: what the microphone hears beside the caller's words, over and over (int16, mono, 16 kHz); None:
            nothing.
    """

    behavior: CallerBehavior = field(default_factory=CallerBehavior)
    connect_timeout_s: float = 10.0
    options: rtc.RoomOptions | None = None
    before_question: RoomAct | None = None
    after_question: RoomAct | None = None
    background: Samples | None = None


class Caller:
    """One call. `run()` once; cancelling it hangs up, closes everything and raises CancelledError.

    Args:
        call_id: names the call in events and in the outcome.
        ticket: where to join.
        utterances: the questions, asked in order; all 16 kHz.
        settings: how the caller behaves.
        on_event: told of every event as it happens; must return at once.
        dialogue: makes a conversation of another kind than `utterances` one by one.
        heard: told of all that is received of agents' voices: samples, and the monotonic time of the first.
    """

    def __init__(
        self,
        call_id: str,
        ticket: CallTicket,
        utterances: Sequence[Utterance],
        settings: CallerSettings | None = None,
        *,
        on_event: OnEvent = _ignore,
        clock: Clock | None = None,
        dialogue: MakeDialogue | None = None,
        heard: Heard | None = None,
    ) -> None:
        self._call_id = call_id
        self._ticket = ticket
        self._utterances = tuple(utterances)
        self._settings = settings or CallerSettings()
        self._on_event = on_event
        self._clock = clock or SystemClock()
        self._connection = RoomConnection(ticket, self._settings.connect_timeout_s, self._settings.options)
        self._room = self._connection.room
        self._make_dialogue = dialogue or self._questions
        self._heard = heard
        self._wake = asyncio.Event()
        self._dialogue: Dialogue | None = None
        self._source: SpeechSource | None = None
        self._listeners: dict[str, TrackListener] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._events: list[tuple[float, str]] = []
        self._joined_s = 0.0
        self._ended_by = ""

    @property
    def room(self) -> rtc.Room:
        """The caller's room, also before it joins."""
        return self._room

    async def run(self) -> CallOutcome:
        """Hold the call. Failures to connect or to publish are outcomes (`error`), not exceptions."""
        blank = CallOutcome(
            call_id=self._call_id,
            region=self._ticket.region,
            room=self._ticket.room,
            voice=self._utterances[0].voice if self._utterances else "",
            t_start_s=0.0,
            lag_s=0.0,
            place_s=0.0,
            questions=len(self._utterances),
        )
        began_s = self._clock.monotonic()
        self._joined_s = began_s
        try:
            self._subscribe()
            error = await self._connection.join(self._enter)
            dialogue = self._dialogue
            if error is not None or dialogue is None:
                self._joined_s = self._clock.monotonic()
                self._note("connect_failed", self._joined_s)
                return replace(blank, error=error, events=tuple(self._events))
            blank = replace(blank, connect_s=self._joined_s - began_s, joined_at_s=self._joined_s)
            try:
                await self._converse(dialogue)
            except (RuntimeError, rtc.participant.PublishTrackError) as failure:
                error = f"call: {failure!r}"
            ended_s = self._clock.monotonic()
            dialogue.hung_up(ended_s)
            await self._leave()
            return self._outcome(blank, dialogue, ended_s, error)
        finally:
            await self._leave()

    def finish(self) -> None:
        """Ask nothing more: hang up after the answer to the question under way."""
        if self._dialogue is not None:
            self._dialogue.no_more()
            self._wake.set()

    # --- the room ---

    def _subscribe(self) -> None:
        room = self._room
        room.on("participant_connected", self._on_participant)
        room.on("participant_disconnected", self._on_participant_left)
        room.on("track_subscribed", self._on_track)
        room.on("track_unsubscribed", self._on_track_gone)
        room.on("participant_attributes_changed", self._on_attributes)
        room.on("reconnecting", lambda: self._note("reconnecting", self._clock.monotonic()))
        room.on("reconnected", lambda: self._note("reconnected", self._clock.monotonic()))
        room.on("disconnected", self._on_disconnected)

    def _enter(self) -> None:
        self._joined_s = self._clock.monotonic()
        self._note("joined", self._joined_s)
        self._dialogue = self._make_dialogue(self._joined_s, self._note)
        for participant in self._room.remote_participants.values():
            self._on_participant(participant)

    def _questions(self, joined_s: float, note: Note) -> Dialogue:
        return Dialogue([u.text for u in self._utterances], joined_s, self._settings.behavior, note)

    def _on_participant(self, participant: rtc.RemoteParticipant) -> None:
        if self._dialogue is not None and _is_agent(participant):
            # In the room when we joined: waited 0 s.
            self._dialogue.agent_joined(participant.identity, self._clock.monotonic())
            self._wake.set()

    def _on_participant_left(self, participant: rtc.RemoteParticipant) -> None:
        if self._dialogue is not None and _is_agent(participant):
            self._dialogue.agent_left(participant.identity, self._clock.monotonic())
            self._wake.set()

    def _on_track(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        # Only the voice: an agent's background sound is a track of another source.
        is_voice = publication.source == rtc.TrackSource.SOURCE_MICROPHONE
        dialogue = self._dialogue
        if dialogue is None or self._connection.gave_up or not is_voice or not isinstance(track, rtc.RemoteAudioTrack):
            return
        agent = _is_agent(participant)
        if not agent and not _is_waiting_voice(participant):
            return
        who = participant.identity

        def began(t_s: float) -> None:
            (dialogue.voice_began if agent else dialogue.waiting_voice_began)(who, t_s)
            self._wake.set()

        def ended(t_s: float) -> None:
            (dialogue.voice_ended if agent else dialogue.waiting_voice_ended)(who, t_s)
            self._wake.set()

        if agent:
            self._note("agent_audio", self._clock.monotonic())
        self._listeners[publication.sid] = TrackListener(
            track, self._clock, began=began, ended=ended, heard=self._heard if agent else None
        )

    def _on_attributes(self, changed: Mapping[str, str], participant: rtc.Participant) -> None:
        notice, dialogue = changed.get(APOLOGY_ATTRIBUTE), self._dialogue
        if dialogue is None or not notice or not isinstance(participant, rtc.RemoteParticipant):
            return
        # While a tool takes long, the words that say so are the beginning of its answer.
        if _is_agent(participant) and (reason := apology_reason(notice)) != WORKING:
            dialogue.apology_announced(reason, self._clock.monotonic())
            self._wake.set()

    def _on_track_gone(
        self, _track: rtc.Track, publication: rtc.RemoteTrackPublication, _who: rtc.RemoteParticipant
    ) -> None:
        listener = self._listeners.pop(publication.sid, None)
        if listener is not None:
            task = asyncio.create_task(listener.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _on_disconnected(self, _reason: object) -> None:
        if self._dialogue is not None:
            self._dialogue.disconnected(self._clock.monotonic())
            self._wake.set()

    # --- the conversation ---

    async def _converse(self, dialogue: Dialogue) -> None:
        self._source = SpeechSource(self._clock, self._settings.background)
        microphone = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        publishing = asyncio.create_task(self._room.local_participant.publish_track(self._source.track, microphone))
        try:
            await asyncio.wait({publishing}, timeout=self._settings.connect_timeout_s)
            if not publishing.done():
                raise RuntimeError("the caller's track was not published in time")
            publishing.result()
            while True:
                self._wake.clear()
                action = dialogue.tick(self._clock.monotonic())
                if isinstance(action, HangUp):
                    self._ended_by = action.reason
                    self._note("hangup", self._clock.monotonic(), reason=action.reason)
                    return
                if isinstance(action, Ask | Say):
                    what = action.utterance if isinstance(action, Say) else self._utterances[action.index]
                    await self._ask(dialogue, self._source, what)
                    continue
                await self._wait(dialogue.due_s())
        finally:
            # Cancelled halfway, the SDK is still told of the track, and stumbles over it in the log.
            await asyncio.wait({publishing}, timeout=_PUBLISH_GRACE_S)
            if publishing.done() and not publishing.cancelled():
                publishing.exception()  # retrieved: whoever was interrupted has another error to tell
            publishing.cancel()

    async def _ask(self, dialogue: Dialogue, source: SpeechSource, utterance: Utterance) -> None:
        await source.until_silent()
        if self._settings.before_question is not None:
            await self._settings.before_question(self._room)
        first_s = await source.say(utterance.samples)
        start_s = first_s + utterance.speech_start_sample / SAMPLE_RATE
        end_s = first_s + utterance.speech_end_sample / SAMPLE_RATE
        dialogue.asked(start_s, end_s)
        if self._settings.after_question is not None:
            await self._clock.sleep(max(0.0, end_s - self._clock.monotonic()))
            await self._settings.after_question(self._room)

    async def _wait(self, due_s: float | None) -> None:
        timeout_s = None if due_s is None else max(0.0, due_s - self._clock.monotonic())
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    # --- the end ---

    async def _leave(self) -> None:
        """Close everything, in bounded time; safe to call twice."""
        self._connection.gave_up = True
        source, self._source = self._source, None
        if source is not None:
            await source.aclose()
        listeners, self._listeners = list(self._listeners.values()), {}
        await asyncio.gather(*(listener.aclose() for listener in listeners), *self._closing)
        await self._connection.leave()

    def _outcome(self, blank: CallOutcome, dialogue: Dialogue, ended_s: float, error: str | None) -> CallOutcome:
        zero = self._joined_s
        return replace(
            blank,
            ended_s=ended_s - zero,
            wait_s=_since(zero, dialogue.first_agent_s),
            greeting_s=_since(zero, dialogue.first_voice_s),
            waiting_message_s=_since(zero, dialogue.first_waiting_message_s),
            turns=dialogue.turns(ended_s),
            silent=dialogue.silent,
            cut=dialogue.cut,
            double_speech=dialogue.double_speech(),
            voices=dialogue.voices(),
            greeting_apology=dialogue.greeting_apology,
            answered=dialogue.answered,
            error=error,
            events=tuple(self._events),
            ended_by=self._ended_by,
        )

    def _note(self, kind: str, t_s: float, **data: object) -> None:
        at_s = t_s - self._joined_s
        self._events.append((at_s, kind))
        self._on_event(self._call_id, kind, at_s, data)


def _is_agent(participant: rtc.RemoteParticipant) -> bool:
    return participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT and not is_waiting_voice(participant.identity)


def _is_waiting_voice(participant: rtc.RemoteParticipant) -> bool:
    return participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT and is_waiting_voice(participant.identity)


def _since(zero_s: float, t_s: float | None) -> float | None:
    return None if t_s is None else max(0.0, t_s - zero_s)

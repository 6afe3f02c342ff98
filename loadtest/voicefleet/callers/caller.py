"""One simulated caller in one room: it joins, asks questions, times what it hears, and hangs up.

The conversation is `dialogue.py`, and the room is an engine's (`port.py`); this module stands between them. Everything
that happens in the room is reported to the dialogue at once, and its `tick` decides what to do next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from livekit import rtc

from voicefleet.callers.behavior import Ask, CallerBehavior, HangUp, Say
from voicefleet.callers.dialogue import Dialogue, Note
from voicefleet.callers.native import NativeClient, NativeEngine
from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.port import CallerEngine, ClientSettings, RoomAct, python_only
from voicefleet.callers.tracks import Heard
from voicefleet.contract.api import CallTicket
from voicefleet.contract.apologies import APOLOGY_ATTRIBUTE, WORKING, apology_reason
from voicefleet.contract.waiting_voice import is_waiting_voice
from voicefleet.runtime.clock import Clock, SystemClock
from voicefleet.speech.clips import Utterance
from voicefleet.speech.onset_detector import Samples

OnEvent = Callable[[str, str, float, Mapping[str, Any]], None]
"""``on_event(call_id, kind, t_s, data)``: t_s is seconds since the join, on the caller's clock."""

MakeDialogue = Callable[[float, Note], Dialogue]
"""``make(joined_s, note)``: the conversation that a caller has, made at the moment of joining."""


def _ignore(_call: str, _kind: str, _t_s: float, _data: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class CallerSettings:
    """How callers behave.

    Attributes:
        behavior: time-outs and patience.
        connect_timeout_s: a join that takes longer has failed.
        options: passed to `room.connect` by the Python SDK; None for its defaults.
        engine: who holds the calls; None: the Python SDK in this process.
        before_question, after_question: what the client does just before a question's first word and after its last,
            such as pressing and releasing a button; what they raise breaks the call.
        keys: of a telephone, pressed before the first question; empty: none.
        background: what the microphone hears beside the caller's words, over and over (int16, mono, 16 kHz); None:
            nothing.
    """

    behavior: CallerBehavior = field(default_factory=CallerBehavior)
    connect_timeout_s: float = 10.0
    options: rtc.RoomOptions | None = None
    engine: CallerEngine | None = None
    before_question: RoomAct | None = None
    after_question: RoomAct | None = None
    keys: str = ""
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
        wishes = ClientSettings(
            self._settings.connect_timeout_s, self._settings.background, self._settings.options, heard
        )
        engine = self._settings.engine or NativeEngine()
        self._client = engine.client(call_id, ticket, self, wishes, self._clock)
        self._make_dialogue = dialogue or self._questions
        self._wake = asyncio.Event()
        self._dialogue: Dialogue | None = None
        self._broken: str | None = None
        self._events: list[tuple[float, str]] = []
        self._joined_s = 0.0
        self._ended_by = ""
        self._keys = self._settings.keys

    @property
    def room(self) -> rtc.Room:
        """The caller's room, also before it joins.

        Raises:
            ConfigError: the engine has none that is of the Python SDK.
        """
        if not isinstance(self._client, NativeClient):
            raise python_only("a caller whose room is looked into")
        return self._client.room

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
            error = await self._client.join()
            dialogue = self._dialogue
            if error is not None or dialogue is None:
                self._joined_s = self._clock.monotonic()
                self._note("connect_failed", self._joined_s)
                return replace(blank, error=error, events=tuple(self._events))
            blank = replace(blank, connect_s=self._joined_s - began_s, joined_at_s=self._joined_s)
            try:
                await self._converse(dialogue)
            except RuntimeError as failure:
                error = f"call: {failure}"
            ended_s = self._clock.monotonic()
            dialogue.hung_up(ended_s)
            await self._client.leave()
            return self._outcome(blank, dialogue, ended_s, error)
        finally:
            await self._client.leave()

    def finish(self) -> None:
        """Ask nothing more: hang up after the answer to the question under way."""
        if self._dialogue is not None:
            self._dialogue.no_more()
            self._wake.set()

    # --- what the engine tells (port.RoomListener) ---

    def entered(self, t_s: float) -> None:
        """The call begins."""
        self._joined_s = t_s
        self._note("joined", self._joined_s)
        self._dialogue = self._make_dialogue(self._joined_s, self._note_of_dialogue)

    def participant_joined(self, who: str, t_s: float) -> None:
        """An agent may have been in the room before the caller: it waited 0 s."""
        if self._dialogue is not None and not is_waiting_voice(who):
            self._dialogue.agent_joined(who, max(t_s, self._joined_s))
            self._wake.set()

    def participant_left(self, who: str, t_s: float) -> None:
        """See `port.RoomListener`."""
        if self._dialogue is not None and not is_waiting_voice(who):
            self._dialogue.agent_left(who, t_s)
            self._wake.set()

    def track_arrived(self, who: str, t_s: float) -> None:
        """See `port.RoomListener`."""
        if not is_waiting_voice(who):
            self._note("agent_audio", t_s)

    def voice_began(self, who: str, t_s: float) -> None:
        """See `port.RoomListener`."""
        if self._dialogue is not None:
            (self._dialogue.waiting_voice_began if is_waiting_voice(who) else self._dialogue.voice_began)(who, t_s)
            self._wake.set()

    def voice_ended(self, who: str, t_s: float) -> None:
        """See `port.RoomListener`."""
        if self._dialogue is not None:
            (self._dialogue.waiting_voice_ended if is_waiting_voice(who) else self._dialogue.voice_ended)(who, t_s)
            self._wake.set()

    def attributes_changed(self, who: str, changed: Mapping[str, str], t_s: float) -> None:
        """See `port.RoomListener`."""
        notice = changed.get(APOLOGY_ATTRIBUTE)
        if self._dialogue is None or not notice or is_waiting_voice(who):
            return
        # While a tool takes long, the words that say so are the beginning of its answer.
        if (reason := apology_reason(notice)) != WORKING:
            self._dialogue.apology_announced(reason, t_s)
            self._wake.set()

    def connection(self, kind: str, t_s: float) -> None:
        """See `port.RoomListener`."""
        self._note(kind, t_s)

    def disconnected(self, t_s: float) -> None:
        """See `port.RoomListener`."""
        if self._dialogue is not None:
            self._dialogue.disconnected(t_s)
            self._wake.set()

    def broke(self, error: str, t_s: float) -> None:
        """See `port.RoomListener`."""
        self._broken = error
        self._wake.set()

    # --- the conversation ---

    def _questions(self, joined_s: float, note: Note) -> Dialogue:
        return Dialogue([u.text for u in self._utterances], joined_s, self._settings.behavior, note)

    async def _converse(self, dialogue: Dialogue) -> None:
        await self._client.publish()
        while True:
            self._wake.clear()
            if self._broken is not None:
                raise RuntimeError(self._broken)
            action = dialogue.tick(self._clock.monotonic())
            if isinstance(action, HangUp):
                self._ended_by = action.reason
                self._note("hangup", self._clock.monotonic(), reason=action.reason)
                return
            if isinstance(action, Ask | Say):
                what = action.utterance if isinstance(action, Say) else self._utterances[action.index]
                await self._ask(dialogue, what)
                continue
            await self._wait(dialogue.due_s())

    async def _ask(self, dialogue: Dialogue, utterance: Utterance) -> None:
        await self._client.until_silent()
        if self._keys:
            keys, self._keys = self._keys, ""
            await self._client.press(keys)
        if self._settings.before_question is not None:
            await self._client.act(self._settings.before_question)
        first_s = await self._client.say(utterance)
        start_s = first_s + utterance.speech_start_sample / utterance.sample_rate
        end_s = first_s + utterance.speech_end_sample / utterance.sample_rate
        dialogue.asked(start_s, end_s)
        if self._settings.after_question is not None:
            await self._clock.sleep(max(0.0, end_s - self._clock.monotonic()))
            await self._client.act(self._settings.after_question)

    async def _wait(self, due_s: float | None) -> None:
        timeout_s = None if due_s is None else max(0.0, due_s - self._clock.monotonic())
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    # --- the end ---

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
            media=self._client.media,
        )

    def _note_of_dialogue(self, kind: str, t_s: float) -> None:
        if kind == "reply" and self._dialogue is not None:
            self._note(kind, t_s, ttfa_s=self._dialogue.latest_ttfa_s)
        else:
            self._note(kind, t_s)

    def _note(self, kind: str, t_s: float, **data: object) -> None:
        at_s = t_s - self._joined_s
        self._events.append((at_s, kind))
        self._on_event(self._call_id, kind, at_s, data)


def _since(zero_s: float, t_s: float | None) -> float | None:
    return None if t_s is None else max(0.0, t_s - zero_s)

"""Plays a recorded apology when a caller has waited too long: a provider failed, or a question was lost with the
connection, or the caller may not have heard the greeting.

`detector.DeadAirDetector` decides; this module passes the session's events to it, and speaks. The same events name the
providers that failed and the fallbacks that took over, so these are reported from here as well.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from livekit.agents import AgentSession, APIConnectionError, APIStatusError, APITimeoutError
from livekit.agents.llm import ChatMessage

from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.worker.dead_air.detector import DeadAirDetector, Reason
from voicefleet.worker.dead_air.hangs import hung_stage
from voicefleet.worker.phrases.clips import Clip
from voicefleet.worker.providers.fallback import adapter_of, members_of
from voicefleet.worker.telemetry.observations import ApologySpoken, Fallback, Observation, ProviderFailure
from voicefleet.worker.tiers.load import ReadyTier

_TTS_LIMIT_S = 3.0
"""An apology that has no recording is to begin within this time; else one in another language is played."""

_CLEARING_S = 1.0
"""A provider that does not stop within this time is not waited for: livekit would wait 5 s."""

_STAGES: Mapping[str, str] = {
    "stt_error": "stt",
    "llm_error": "llm",
    "realtime_model_error": "llm",
    "tts_error": "tts",
}

log = get_logger(__name__)


class Apology:
    """Watches one session. `watch` before it starts, `end` when the call is over.

    Args:
        announce: tells the room why the words that follow are said; it returns at once, and never raises.
    """

    def __init__(
        self,
        session: AgentSession[Any],
        tier: ReadyTier,
        clock: Clock,
        send: Callable[[Observation], None],
        *,
        language: str = "",
        announce: Callable[[Reason], None] = lambda _: None,
    ) -> None:
        self._session = session
        self._announce = announce
        self._phrases = tier.phrases.pick(language)
        self._enabled = tier.tier.apology.enabled
        self._tier = tier.name
        self._clock = clock
        self._send = send
        limits = tier.tier.apology
        self._detector = DeadAirDetector(
            after_s=limits.after_s, min_speech_s=limits.min_speech_s, no_input_s=limits.no_input_s
        )
        self._timer: asyncio.TimerHandle | None = None
        self._speaking: asyncio.Task[Any] | None = None
        self._tts_failed = False
        self._trusted_to_tts = False
        """An apology without a recording is about to be heard."""
        self._speech_began = 0.0
        self._recogniser_failed = False
        self._failed_s: float | None = None
        self._cut_off = "", 0.0
        """The stage that hung at the last apology, and when."""
        self.unheard: Callable[[], None] = lambda: None
        """Told of each turn of which no word was recognised while no recogniser failed."""
        self._ended = False

    def watch(self) -> None:
        """Begin; before the session starts, so that no event is missed."""
        for name, hear in (
            ("user_state_changed", self._on_caller),
            ("agent_state_changed", self._on_agent),
            ("user_input_transcribed", self._on_transcript),
            ("conversation_item_added", self._on_item),
            ("speech_created", self._on_speech),
            ("tool_execution_updated", self._on_tool),
            ("function_tools_executed", self._on_tools_done),
            ("error", self._on_error),
        ):
            self._session.on(name, self._then_set_timer(hear))  # type: ignore[arg-type]
        for stage in ("stt", "llm", "tts"):
            self.watch_stage(stage, getattr(self._session, stage))

    def watch_stage(self, stage: str, provider: Any) -> None:
        """Hear of the failures of a provider that serves the session, or will; once for each."""
        for member in members_of(provider):
            member.on("error", lambda error: self._count_failure(stage, error.error))
        if members_of(provider):
            adapter_of(provider).on(f"{stage}_availability_changed", self._on_availability(stage))

    def reconnected(self) -> None:
        """The room was joined anew after an outage of LiveKit or of the network."""
        self._detector.reconnected(self._clock.monotonic())
        self._set_timer()

    def not_heard(self) -> None:
        """The agent does not hear its caller, as somebody found who listens better than it does."""
        if self._enabled and not self._ended:
            self._speaking = asyncio.create_task(self._speak(Reason.UNHEARD))

    @property
    def waits_since_s(self) -> float | None:
        """See `DeadAirDetector.waits_since_s`."""
        return self._detector.waits_since_s

    def end(self) -> None:
        """Stop watching."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self._speaking is not None:
            self._speaking.cancel()

    # Events of the session

    def _on_caller(self, event: Any) -> None:
        # The events' own times: they are set back to where speech began and ended.
        if event.new_state == "speaking":
            self._speech_began = event.created_at
            self._detector.caller_started(self._clock.monotonic())
        elif event.old_state == "speaking":
            self._detector.caller_stopped(self._clock.monotonic(), max(0.0, event.created_at - self._speech_began))

    def _on_agent(self, event: Any) -> None:
        if event.new_state == "speaking":
            self._tts_failed = self._trusted_to_tts = False
            self._detector.agent_started()
        elif event.old_state == "speaking":
            self._detector.agent_stopped(self._clock.monotonic())

    def _on_transcript(self, event: Any) -> None:
        if event.is_final and event.transcript.strip():
            self._recogniser_failed = False
            self._detector.understood(self._clock.monotonic())

    def _on_item(self, event: Any) -> None:
        if isinstance(event.item, ChatMessage) and event.item.role == "user":
            self._detector.understood(self._clock.monotonic())

    def _on_speech(self, _: Any) -> None:
        self._detector.reply_attempted()
        subscribed = self._caller_hears()
        if subscribed is None or subscribed.done():
            self._detector.greeting_due(self._clock.monotonic())
        else:
            # The greeting waits for a caller who can hear it, and so does its time.
            subscribed.add_done_callback(lambda _: self._greet_now())

    def _caller_hears(self) -> asyncio.Future[None] | None:
        try:
            return self._session.room_io.subscribed_fut
        except RuntimeError:  # A session without a room.
            return None

    def _greet_now(self) -> None:
        self._detector.greeting_due(self._clock.monotonic())
        self._set_timer()

    def _on_tool(self, event: Any) -> None:
        if event.update.type == "tool_call_started":
            self._detector.tool_started(event.update.function_call.call_id)
        elif event.update.type == "tool_call_ended":
            self._detector.tool_ended(event.update.call_id)

    def _on_tools_done(self, event: Any) -> None:
        self._detector.tools_done(self._clock.monotonic(), reply_follows=event.has_tool_reply)

    def _on_error(self, event: Any) -> None:
        stage = _STAGES.get(getattr(event.error, "type", ""))
        if stage is None:
            return
        if not members_of(event.source):  # An adapter's members are counted one by one.
            self._count_failure(stage, event.error.error)
        if stage == "tts":
            self._tts_failed = True
            if not event.error.recoverable:
                self._play_recording()
        self._detector.failed(self._clock.monotonic(), speaking_stage=stage != "stt", final=not event.error.recoverable)

    def _play_recording(self) -> None:
        """The TTS was to say the apology and cannot, or hangs."""
        if self._trusted_to_tts and not self._ended:
            self._trusted_to_tts = False
            log.warning("the TTS did not say the apology, a recording is played", tier=self._tier)
            self._speaking = asyncio.create_task(self._say(self._phrases.recorded, Reason.UNANSWERED))

    # Reports

    def _count_failure(self, stage: str, error: BaseException) -> None:
        self._recogniser_failed |= stage == "stt"
        self._failed_s = now_s = self._clock.monotonic()
        kind = failure_kind(error)
        if kind == "timeout" and self._cut_off[0] == stage and now_s - self._cut_off[1] < _CLEARING_S:
            return  # Its own limit passed while the apology cut it off: the same hang.
        log.warning("a provider failed", stage=stage, kind=kind, error=error_summary(error))
        self._send(ProviderFailure(stage, kind))

    def _count_hang(self, reason: Reason, waiting_since_s: float | None) -> None:
        """The apology cuts off what is pending: say who hung, unless a failure of this turn was counted already."""
        if self._failed_s is not None and waiting_since_s is not None and self._failed_s >= waiting_since_s:
            return
        if stage := hung_stage(self._session, reason):
            self._cut_off = stage, self._clock.monotonic()
            log.warning("a provider hangs", stage=stage, kind="timeout")
            self._send(ProviderFailure(stage, "timeout"))

    def _on_availability(self, stage: str) -> Callable[[Any], None]:
        def changed(event: Any) -> None:
            log.warning("a provider's availability changed", stage=stage, available=event.available)
            if not event.available:
                self._send(Fallback(stage))

        return changed

    # Speaking

    def _then_set_timer(self, hear: Callable[[Any], None]) -> Callable[[Any], None]:
        def heard(event: Any) -> None:
            hear(event)
            self._set_timer()

        return heard

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_s = self._detector.due_s()
        if due_s is None or self._ended or not self._enabled:
            return
        delay_s = max(0.0, due_s - self._clock.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._check)

    def _check(self) -> None:
        since_s = self._detector.waits_since_s
        reason = self._detector.check(self._clock.monotonic())
        if reason is Reason.UNHEARD and not self._recogniser_failed:
            self.unheard()
        if reason is not None:
            self._count_hang(reason, since_s)
            self._speaking = asyncio.create_task(self._speak(reason, since_s))
        self._set_timer()

    async def _speak(self, reason: Reason, since_s: float | None = None) -> None:
        phrase = self._phrases.apology if reason.interrupts else self._phrases.working
        what = phrase.recording or phrase.text
        if self._tts_failed and isinstance(what, str):
            what = self._phrases.recorded if reason.interrupts else ""
        if not what:
            return
        log.warning("the caller waited too long, an apology is played", reason=reason.value, tier=self._tier)
        self._trusted_to_tts = isinstance(what, str) and reason.interrupts
        self._announce(reason)
        if await self._say(what, reason):
            waited_s = None if since_s is None else round(self._clock.monotonic() - since_s, 3)
            self._send(ApologySpoken(reason.value, waited_s))
        if self._trusted_to_tts:
            asyncio.get_running_loop().call_later(_TTS_LIMIT_S, self._play_recording)

    async def _say(self, what: Clip | str, reason: Reason) -> bool:
        """Whether the session still spoke."""
        try:
            if reason.interrupts:
                await self._clear_the_way(reason)
            # Not in the conversation: the LLM is not to take it for an answer.
            if isinstance(what, str):
                self._session.say(what, add_to_chat_ctx=False)
            else:
                self._session.say(what.text, audio=what.frames(), add_to_chat_ctx=False)
        except RuntimeError as error:
            if isinstance(what, str) and reason.interrupts:  # No TTS, and a model that does not say what it is told.
                return await self._say(self._phrases.recorded, reason)
            log.warning("apology not played: the session is over", error=error_summary(error))
            return False
        return True

    async def _clear_the_way(self, reason: Reason) -> None:
        """End what is pending, so that it is not heard later, on top of something else."""
        if reason is Reason.UNHEARD:
            # Opens the recogniser's stream anew as well: one that hangs would keep the next turn waiting too.
            self._session.clear_user_turn()
        pending = self._session.current_speech
        interrupted = self._session.interrupt(force=True)
        try:
            async with asyncio.timeout(_CLEARING_S):
                await interrupted
        except TimeoutError:
            log.warning("a provider does not stop, its speech is abandoned", speech=pending.id if pending else "")
            if pending is not None:
                # Its audio can no longer be heard (it is interrupted); without this the queue waits for its end.
                with contextlib.suppress(RuntimeError):
                    pending._mark_generation_done()


def failure_kind(error: BaseException) -> str:
    """How a provider failed, as a metric label: timeout, refused, connection or other."""
    if isinstance(error, APITimeoutError | TimeoutError):
        return "timeout"
    if isinstance(error, APIStatusError):
        return "refused"
    if isinstance(error, APIConnectionError | OSError):
        return "connection"
    return "other"

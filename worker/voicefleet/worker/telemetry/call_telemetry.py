"""Reports on one call while it lasts: turns, stages, interruptions, dead air, RTP statistics and the trace.

Listens to the session's events and sends observations to the worker's main process. It never reports what was said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from livekit.agents import AgentSession
from livekit.agents.llm import ChatMessage

from voicefleet.contract.responses import ResponseResult
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.worker.dead_air.detector import Reason
from voicefleet.worker.job import sdk
from voicefleet.worker.telemetry.call_facts import Note
from voicefleet.worker.telemetry.call_trace import CallTrace
from voicefleet.worker.telemetry.interruptions import Interruptions
from voicefleet.worker.telemetry.observations import (
    DeadAir,
    Greeting,
    Interruption,
    Observation,
    Response,
    Setup,
    StageTiming,
    Turn,
)
from voicefleet.worker.telemetry.responses import Responses
from voicefleet.worker.telemetry.rtp_stats import RtpStats

SILENT_AFTER_S = 10.0
_LOOK_EVERY_S = 1.0
_RESPONSES_KEPT = 8

log = get_logger(__name__)


class CallTelemetry:
    """`watch` before the session starts, `joined` after, `begin` when the call is ours, `end` at its end.

    Args:
        send: takes observations.
        waits_since: since when the caller has waited for a voice after a turn (monotonic seconds); None: does not.
        caller_there: whether a caller is in the room.
        note: takes what is for the call's log alone.
        on: False: listens to nothing and reports nothing.
    """

    def __init__(
        self,
        session: AgentSession[Any],
        tier: str,
        send: Callable[[Observation], None],
        trace: CallTrace,
        clock: Clock,
        *,
        waits_since: Callable[[], float | None],
        caller_there: Callable[[], bool],
        note: Callable[[Note, float | None], None] = lambda *_: None,
        on: bool = True,
    ) -> None:
        self._session = session
        self.tier = tier
        """The one that serves the call now; it changes between two turns."""
        self._send = send
        self._trace = trace
        self._clock = clock
        self._waits_since = waits_since
        self._caller_there = caller_there
        self._note = note
        self._on = on
        self._began_s = clock.monotonic()
        self._begun_s: float | None = None
        self._joined = False
        self._heard = False
        self._silent = False
        self._resumed = False
        self._asked: Mapping[str, Any] | None = None
        self._given_up = False
        """The last turn was counted as one without an answer: what still comes of it does not count."""
        self._apologised = False
        """The caller's first words from us, if none came yet, are an apology."""
        self._interruptions = Interruptions()
        self._responses = Responses()
        self._gone: tuple[float, bool] | None = None
        """Since when no caller is there, and whether the agent spoke then; None: one is there, or none ever was."""
        self._first_audio_s: dict[str, float] = {}
        self._rtp = RtpStats()
        self._looking: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Begin to listen; before the session starts, so that no event is missed."""
        if not self._on:
            return
        session = self._session
        session.on("conversation_item_added", self._on_item)
        session.on("agent_state_changed", self._on_agent)
        session.on("user_state_changed", self._on_caller)
        sdk.on_metrics(session, self._on_metrics)
        session.on("agent_false_interruption", lambda _: self._interrupted(self._interruptions.was_false()))

    def joined(self, *, greets: bool = True, successor: bool = False) -> None:
        """The agent hears the room.

        Args:
            greets: its first audio is a greeting, not another agent's call going on.
            successor: it waited for its turn to take a live call over, which is not part of a call's set-up.
        """
        self._joined = True
        if not successor:
            setup_s = self._clock.monotonic() - self._began_s
            self._send(Setup("ok", round(setup_s, 4)))
        self._trace.joined(self._wall_s())
        self._resumed = not greets

    def begin(self) -> None:
        """The call is ours."""
        if not self._on:
            return
        self._begun_s = self._clock.monotonic()
        self._looking = asyncio.create_task(self._look())

    def on_rtp_stats(self, stats: list[Any]) -> None:
        """RTC statistics of the room, which `media` reads for its own reasons."""
        if self._begun_s is not None and (seen := self._rtp.read(stats, self._clock.monotonic())) is not None:
            self._send(seen)

    def apologised(self, reason: str) -> None:
        """A recorded apology is being said; its `reason` tells whether it stands for the reply to a turn."""
        if not self._on:
            return
        self._apologised = reason != Reason.WORKING
        if reason in (Reason.UNHEARD, Reason.UNANSWERED):
            self._unanswered()

    def look_around(self) -> None:
        """Somebody came to the room, or left it."""
        if self._caller_there():
            self._gone = None
        elif self._begun_s is not None and self._gone is None:
            self._gone = self._clock.monotonic(), self._session.agent_state == "speaking"

    def task_done(self) -> None:
        """The agent reported that the caller has what it wanted."""
        self._responses.done()

    async def end(self, result: str) -> None:
        """The call is over for this job."""
        gone_s, speaking = self._gone if self._gone is not None and result == "completed" else (None, None)
        self._responded(self._responses.over(gone_s, speaking=speaking))
        if self._looking is not None:
            await cancel_and_wait([self._looking])
        if self._silent:
            self._send(DeadAir(silent=False))
        if self._asked is not None:
            self._send(Turn(self.tier, "session_closed"))
        if not self._joined:
            self._send(Setup("failed", self._clock.monotonic() - self._began_s))
        self._trace.ended(self._wall_s(), result)

    def _wall_s(self) -> float:
        return self._clock.wall().timestamp()

    def _since(self, at_s: float | None) -> float | None:
        """Seconds since this moment, Unix time; None: it is not known."""
        return None if at_s is None else round(max(0.0, self._wall_s() - at_s), 3)

    # Dead air

    async def _look(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_EVERY_S)
            silent = self._is_silent()
            if silent != self._silent:
                self._silent = silent
                self._send(DeadAir(silent=silent))
                if silent:
                    log.warning("the caller has waited too long for a voice", silent_s=SILENT_AFTER_S)
                    if self._asked is not None:
                        self._unanswered()
                    if not self._heard:
                        self._send(Greeting("silent", SILENT_AFTER_S))

    def _is_silent(self) -> bool:
        if not self._caller_there():
            return False
        since = self._waits_since()
        if not self._heard and self._begun_s is not None:
            since = self._begun_s if since is None else min(since, self._begun_s)
        return since is not None and self._clock.monotonic() - since > SILENT_AFTER_S

    # Voices

    def _on_agent(self, event: Any) -> None:
        if "speaking" in (event.new_state, event.old_state):
            self._responses.agent(event.new_state == "speaking", self._clock.monotonic())
        if event.new_state == "speaking":
            self._interrupted(self._interruptions.agent(True, event.created_at))
            if not self._heard and self._begun_s is not None:
                self._heard = True
                if self._resumed:
                    self._note(Note.VOICE_BACK, self._clock.monotonic() - self._begun_s)
                else:
                    greeting_s = self._clock.monotonic() - self._began_s
                    self._send(Greeting("apology" if self._apologised else "ok", round(greeting_s, 4)))
                    self._trace.greeted(event.created_at)
        elif event.old_state == "speaking":
            self._interrupted(self._interruptions.agent(False, event.created_at))

    def _on_caller(self, event: Any) -> None:
        if event.new_state == "speaking" and sdk.is_realtime(self._session):
            if self._asked is None:
                self._responded(self._responses.asked(""))
            self._asked, self._given_up = self._asked or {}, False
        if event.new_state == "speaking":
            self._interrupted(self._interruptions.caller(True, event.created_at))
        elif event.old_state == "speaking":
            self._interrupted(self._interruptions.caller(False, event.created_at))

    def _interrupted(self, interruption: Interruption | None) -> None:
        if interruption is not None:
            self._send(interruption)

    # Turns

    def _on_item(self, event: Any) -> None:
        item = event.item
        if not isinstance(item, ChatMessage):
            return
        metrics: Mapping[str, Any] = item.metrics or {}
        if item.role == "user":
            if sdk.is_realtime(self._session):
                return  # Such a model may tell what it heard after it has answered: see `_on_caller`.
            if self._asked is not None:  # The caller spoke on before a word of the answer.
                self._send(Turn(self.tier, "interrupted"))
            self._asked, self._given_up = dict(metrics), False
            self._responded(self._responses.asked(item.text_content or ""))
        elif item.role == "assistant":
            self._answered(metrics, item.text_content or "", interrupted=bool(item.interrupted))

    def _unanswered(self) -> None:
        """The turn has no answer: an apology stands for it, or nothing came in time."""
        self._asked, self._given_up = None, True
        self._send(Turn(self.tier, "error"))
        self._responded(self._responses.unanswered())

    def _responded(self, result: ResponseResult | None) -> None:
        if result is not None and self._on:
            self._send(Response(self.tier, result.value))

    def _answered(self, metrics: Mapping[str, Any], text: str, *, interrupted: bool) -> None:
        if self._given_up:
            return
        asked, self._asked = self._asked, None
        if asked is None and "e2e_latency" not in metrics:
            return  # A greeting, or words that nobody asked for.
        self._responses.answered(text, interrupted=interrupted)
        outcome = "interrupted" if interrupted else "completed"
        metrics = self._with_first_audio(metrics)
        providers = self._providers()
        ttfa_s = metrics.get("e2e_latency")
        self._send(
            Turn(
                self.tier,
                outcome,
                ttfa_s=ttfa_s if ttfa_s is not None and ttfa_s >= 0 else None,
                stages=_stages(asked or {}, metrics, providers),
                trace=self._trace.exemplar,
                spoke_s=self._since(metrics.get("started_speaking_at")),
            )
        )
        if asked is not None:
            self._trace.turn(asked, metrics, providers=providers, outcome=outcome)
        if interrupted:
            self._interrupted(self._interruptions.reply_cut())

    def _on_metrics(self, metrics: Any) -> None:
        if getattr(metrics, "type", "") == "realtime_model_metrics" and metrics.ttft >= 0:
            self._first_audio_s[metrics.request_id] = metrics.ttft
            while len(self._first_audio_s) > _RESPONSES_KEPT:
                del self._first_audio_s[next(iter(self._first_audio_s))]

    def _with_first_audio(self, metrics: Mapping[str, Any]) -> Mapping[str, Any]:
        """A realtime model's time to its first audio, which stands where an LLM's time to its first word would."""
        found = [self._first_audio_s.pop(id_, None) for id_ in metrics.get("provider_request_ids") or ()]
        known = [s for s in found if s is not None]
        return {"llm_node_ttft": known[0], **metrics} if known else metrics

    def _providers(self) -> dict[str, str]:
        session = self._session
        return {
            "speech_to_text": provider_name(sdk.provider_of(session, "stt")),
            "chat": provider_name(sdk.provider_of(session, "llm")),
            "text_to_speech": provider_name(sdk.provider_of(session, "tts")),
        }


def provider_name(provider: Any) -> str:
    """What its author calls it, else its class."""
    if provider is None:
        return "none"
    told = getattr(provider, "provider", "unknown")
    return told if isinstance(told, str) and told not in ("", "unknown") else type(provider).__name__


def _stages(
    asked: Mapping[str, Any], answered: Mapping[str, Any], providers: Mapping[str, str]
) -> tuple[StageTiming, ...]:
    """The stages whose time is known."""
    found = (
        ("eou", "vad", asked.get("end_of_turn_delay")),
        ("stt", providers["speech_to_text"], asked.get("transcription_delay")),
        ("callback", "agent", asked.get("on_user_turn_completed_delay")),
        ("llm_ttft", providers["chat"], answered.get("llm_node_ttft")),
        ("tts_ttfb", providers["text_to_speech"], answered.get("tts_node_ttfb")),
        ("playback", "livekit", answered.get("playback_latency")),
    )
    return tuple(StageTiming(stage, provider, round(s, 5)) for stage, provider, s in found if s is not None and s >= 0)

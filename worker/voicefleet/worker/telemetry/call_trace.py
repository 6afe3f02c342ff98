"""The spans of one call, by OpenTelemetry's conventions for generative AI (still "Development").

    invoke_agent (the call, or one job's part of it)
      join                     job given to us -> the agent hears
      greeting                 -> the agent's first audio
      turn                     the caller's end of speech -> the agent's last word
        end_of_turn, speech_to_text, callback, chat, text_to_speech, first_audio

The SDK tells how long the stages of a turn took, not when they began: they are laid one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from voicefleet.contract.spans import Attribute, SpanKind, SpanRecord, TraceContext
from voicefleet.runtime.tracing import child_of

Emit = Callable[[SpanRecord], None]


class CallTrace:
    """The trace of one job of one call. Times are Unix time in seconds.

    Args:
        on: False: no span is told; the ids are there all the same.
        parent: the span that led here, by the dispatch or by the call's transcript.
        trace: id of the call's trace where there is no such span.
        common: attributes of every span.
    """

    def __init__(
        self,
        emit: Emit,
        *,
        on: bool,
        parent: TraceContext | None,
        trace: str = "",
        began_s: float,
        common: Mapping[str, Attribute],
    ) -> None:
        self._emit = emit
        self._parent = parent
        self._began_s = began_s
        self._common = common
        self._on = on
        self.context = child_of(parent, trace)

    @property
    def header(self) -> str:
        """What the next job of this call goes on from: our own span, or where it is not told the one before it."""
        return (self.context if self._on else self._parent or self.context).header

    @property
    def exemplar(self) -> str:
        """The id of the trace, where it can be looked up; else empty."""
        return self.context.trace if self._on and self.context.sampled else ""

    def joined(self, at_s: float) -> None:
        """The agent is in the room and hears."""
        self._child("join", self._began_s, at_s)

    def greeted(self, at_s: float) -> None:
        """The first audio of the agent."""
        self._child("greeting", self._began_s, at_s)

    def turn(
        self, asked: Mapping[str, Any], answered: Mapping[str, Any], *, providers: Mapping[str, str], outcome: str
    ) -> None:
        """One turn; `asked` and `answered` are the metrics that livekit puts on the two messages."""
        stopped_s, first_s = asked.get("stopped_speaking_at"), answered.get("started_speaking_at")
        if not self._on or not stopped_s or not first_s:
            return
        attributes: dict[str, Attribute] = {"voicefleet.turn.outcome": outcome}
        if (ttfa_s := answered.get("e2e_latency")) is not None:
            attributes["voicefleet.turn.ttfa_s"] = round(ttfa_s, 4)
        last_s = max(first_s, answered.get("stopped_speaking_at") or first_s)
        turn = self._child("turn", stopped_s, last_s, attributes)
        eou_s = stopped_s + (asked.get("end_of_turn_delay") or 0.0)
        called_s = eou_s + (asked.get("on_user_turn_completed_delay") or 0.0)
        thought_s = min(first_s, called_s + (answered.get("llm_node_ttft") or 0.0))
        voiced_s = min(first_s, thought_s + (answered.get("tts_node_ttfb") or 0.0))
        heard_s = stopped_s + (asked.get("transcription_delay") or 0.0)
        for name, begin_s, end_s in (
            ("end_of_turn", stopped_s, eou_s),
            ("speech_to_text", stopped_s, heard_s),
            ("callback", eou_s, called_s),
            ("chat", min(called_s, thought_s), thought_s),
            ("text_to_speech", thought_s, voiced_s),
            ("first_audio", voiced_s, first_s),
        ):
            more: dict[str, Attribute] = {}
            if name in ("speech_to_text", "chat", "text_to_speech"):
                more = {"gen_ai.operation.name": name, "gen_ai.provider.name": providers.get(name, "unknown")}
            self._child(name, begin_s, end_s, more, of=turn)

    def ended(self, at_s: float, result: str) -> None:
        """The call is over for this job."""
        attributes = {"gen_ai.operation.name": "invoke_agent", "voicefleet.call.result": result}
        error = result if result not in ("completed", "handed_over") else ""
        self._send("invoke_agent", self.context, self._began_s, at_s, attributes, self._parent, "consumer", error)

    def _child(
        self,
        name: str,
        begin_s: float,
        end_s: float,
        attributes: Mapping[str, Attribute] | None = None,
        of: TraceContext | None = None,
    ) -> TraceContext:
        parent = of or self.context
        context = child_of(parent)
        self._send(name, context, begin_s, end_s, attributes or {}, parent, "internal", "")
        return context

    def _send(
        self,
        name: str,
        context: TraceContext,
        begin_s: float,
        end_s: float,
        attributes: Mapping[str, Attribute],
        parent: TraceContext | None,
        kind: SpanKind,
        error: str,
    ) -> None:
        if not self._on:
            return
        self._emit(
            SpanRecord(
                name=name,
                context=context,
                start_ns=round(begin_s * 1e9),
                end_ns=round(max(begin_s, end_s) * 1e9),
                parent=parent.span if parent else "",
                kind=kind,
                attributes={**self._common, **attributes},
                error=error,
            )
        )

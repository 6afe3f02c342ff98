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
        on: False: nothing is told, and there are no ids.
        parent: the span that led here, by the dispatch or by the call's transcript.
        common: attributes of every span.
    """

    def __init__(
        self, emit: Emit, *, on: bool, parent: TraceContext | None, began_s: float, common: Mapping[str, Attribute]
    ) -> None:
        self._emit = emit
        self._parent = parent
        self._began_s = began_s
        self._common = common
        self.context = child_of(parent) if on else None

    @property
    def header(self) -> str:
        """What the next job of this call goes on from; empty when there is no trace."""
        return self.context.header if self.context else ""

    @property
    def exemplar(self) -> str:
        """The id of the trace, where it can be looked up; else empty."""
        return self.context.trace if self.context and self.context.sampled else ""

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
        if self.context is None or not stopped_s or not first_s:
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
        if self.context is None:
            return
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
    ) -> TraceContext | None:
        if self.context is None:
            return None
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

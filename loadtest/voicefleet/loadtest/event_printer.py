"""Prints what a caller hears, as it happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from voicefleet.runtime.clock import Clock
from voicefleet.speech.clips import Utterance

_PLAIN = {
    "agent_left": "the agent left",
    "reconnecting": "connection lost, reconnecting",
    "reconnected": "connected again",
    "silent": "silence for more than 10 s",
    "cut": "the call is cut",
    "cut_in": "the agent spoke over the question",
    "late_reply": "answer, too late",
    "apology": "an apology instead of an answer",
    "connect_failed": "could not join",
}


class EventPrinter:
    """An `OnEvent` that says each event in words; times are seconds since the join.

    Args:
        questions: what the caller asks, in order.
        say: takes one line.
        clock: to tell how long the join took, from now on.
    """

    def __init__(self, questions: Sequence[Utterance], say: Callable[[str], None], clock: Clock) -> None:
        self._questions = questions
        self._say = say
        self._clock = clock
        self._began_s = clock.monotonic()
        self._asked = 0
        self._t0_s = 0.0
        self._cut_in = False
        self._agents = 0
        self._over = False

    def __call__(self, _call_id: str, kind: str, t_s: float, data: Mapping[str, Any]) -> None:
        text = None if self._over else self._words(kind, t_s, data)
        if text is not None:
            self._say(f"{t_s:7.2f} s  {text}")

    def _words(self, kind: str, t_s: float, data: Mapping[str, Any]) -> str | None:
        if kind == "joined":
            return f"joined after {self._clock.monotonic() - self._began_s:.2f} s"
        if kind == "agent_joined":
            self._agents += 1
            return f"agent there after {t_s:.2f} s" if self._agents == 1 else "another agent came"
        if kind == "greeting":
            return f"greeting after {t_s:.2f} s"
        if kind == "asked":
            return self._question(t_s)
        if kind == "cut_in":
            self._cut_in = True
        if kind == "reply":
            return "answer" if self._cut_in else f"answer, TTFA {t_s - self._t0_s:.2f} s"
        if kind == "hangup":
            self._over = True
            return f"hung up ({data.get('reason', '')})"
        return _PLAIN.get(kind)

    def _question(self, start_s: float) -> str:
        question = self._questions[self._asked]
        self._asked += 1
        self._cut_in = False
        self._t0_s = start_s + (question.speech_end_sample - question.speech_start_sample) / question.sample_rate
        return f'asks: "{question.text}"'

"""The outcome of one simulated call, and the summary of a run. No I/O.

All times of a call are seconds since it joined its room, on the monotonic clock of the process that ran
it; `joined_at_s` puts them on that clock. A turn that timed out is scored, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from voicefleet.callers.media import MediaStats


@dataclass(frozen=True, slots=True)
class TurnOutcome:
    """One question and what the caller heard after it.

    Attributes:
        index: 0 for the first question.
        text: the question.
        asked_at_s: first voiced sample of the question.
        t0_s: last voiced sample of the question; TTFA counts from here.
        ttfa_s: `t0_s` to the first voiced sample of the reply. None when there was no reply in time, or
            when the agent cut in: then no honest figure exists.
        answered: the agent spoke after the question, in time, and it was no apology.
        cut_in: the agent spoke between the decision to ask and `t0_s`.
        waited_s: how long the caller waited for a voice after `t0_s`, also when it came too late.
        reply_end_s: last voiced sample before the next turn, None if there was no reply.
        apology: what the caller heard, if anything, was an apology instead of an answer, as the agent itself says.
        barge_in: the caller said it over the agent.
        stop_s: of such a turn: first voiced sample of the question to the agent's last before it was quiet. None: it
            went on.
        worker_ttfa_s: the same by the worker's own clock: the end of speech that it detected, to its first audio. None:
            not known.
        parts: where `ttfa_s` went, in seconds (`stages.PARTS`); None: not known.
    """

    index: int
    text: str
    asked_at_s: float
    t0_s: float
    ttfa_s: float | None
    answered: bool
    cut_in: bool
    waited_s: float
    reply_end_s: float | None
    apology: bool = False
    barge_in: bool = False
    stop_s: float | None = None
    worker_ttfa_s: float | None = None
    parts: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """One simulated call.

    Attributes:
        call_id, region, room, voice: which call, where, and who spoke.
        t_start_s: intended start, seconds since the start of the run.
        lag_s: actual minus intended start: the generator's own lateness.
        place_s: time to get the ticket (the controller's `POST /v1/calls`, its retries included).
        connect_s: time `connect()` took; None if it failed.
        joined_at_s: monotonic clock of the process at the join; None if it failed.
        ended_s: join to hang-up, 0 without a join.
        wait_s: join to the first AGENT participant in the room; None: none came.
        greeting_s: join to the first voiced sample of an agent; None: no agent was heard.
        waiting_message_s: join to the first voiced sample of a waiting message; None: there was none.
        turns: the questions asked, in order.
        silent: nothing heard for the turn time-out after joining, after a question or after a waiting message.
        cut: the agent was gone for longer than 10 s, or the platform ended the call.
        double_speech: how often two agents, or an agent and a waiting message, spoke at once.
        voices: what was heard of agents, by begin: ``((identity, begin_s, end_s), ...)``.
        greeting_apology: the first that the caller heard of the agent was an apology.
        answered: an agent was heard, by more than apologies; and if the caller asked anything, it got an answer.
        error: why the call failed on our side or at the connection; None for a call that ran.
        events: timeline, ``((t_s, kind), ...)``.
        questions: how many the caller came to ask.
        ended_by: what ended the call: the caller was ``done``, left by its own will (``hangup``) or out of
            ``patience``, or the platform ``disconnected`` it; empty: it ended otherwise, or never began.
        media: how its packets went; None: not known.
    """

    call_id: str
    region: str
    room: str
    voice: str
    t_start_s: float
    lag_s: float
    place_s: float
    connect_s: float | None = None
    joined_at_s: float | None = None
    ended_s: float = 0.0
    wait_s: float | None = None
    greeting_s: float | None = None
    waiting_message_s: float | None = None
    turns: tuple[TurnOutcome, ...] = ()
    silent: bool = False
    cut: bool = False
    double_speech: int = 0
    voices: tuple[tuple[str, float, float], ...] = ()
    greeting_apology: bool = False
    answered: bool = False
    error: str | None = None
    events: tuple[tuple[float, str], ...] = ()
    questions: int = 0
    ended_by: str = ""
    media: MediaStats | None = None

    @property
    def pickup_s(self) -> float | None:
        """From the intended start of the call to the first voiced sample of an agent; None: no agent was heard."""
        return None if self.greeting_s is None else self.join_after_s + self.greeting_s

    @property
    def join_after_s(self) -> float:
        """From the intended start of the call to the join, or to where it failed."""
        return self.lag_s + self.place_s + (self.connect_s or 0.0)

    @property
    def lost_questions(self) -> int:
        """Questions that were never asked because the call failed before; none when the caller itself ended it."""
        return 0 if self.ended_by in _OWN_WILL else max(0, self.questions - len(self.turns))

    @property
    def failed(self) -> bool:
        """Whether the caller did not get what it called for: an error, cut, silent or without an answer."""
        return self.result != "answered"

    @property
    def result(self) -> str:
        """In one word, the worst of what happened: error, cut, silent, unanswered (see `answered`) or answered."""
        if self.error is not None:
            return "error"
        if self.cut:
            return "cut"
        if self.silent:
            return "silent"
        return "answered" if self.answered else "unanswered"

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready mapping: field names as above and `result` and `pickup_s`, tuples as lists."""
        data = asdict(self) | {"result": self.result, "pickup_s": self.pickup_s}
        data["media"] = None if self.media is None else self.media.to_json()
        data["turns"] = [dict(turn) for turn in data["turns"]]
        data["events"] = [list(event) for event in data["events"]]
        data["voices"] = [list(voice) for voice in data["voices"]]
        return data


_OWN_WILL = ("done", "hangup")


def call_from_json(data: Mapping[str, Any]) -> CallOutcome:
    """The call that `CallOutcome.to_json` wrote, also of another version: fields that it lacks have their defaults.

    Raises:
        TypeError, ValueError, KeyError: it is no such mapping.
    """
    turns = tuple(TurnOutcome(**_known(TurnOutcome, turn)) for turn in data["turns"])
    voices = tuple((who, begin, end) for who, begin, end in data.get("voices", ()))
    events = tuple((t_s, kind) for t_s, kind in data.get("events", ()))
    media = None if data.get("media") is None else MediaStats(**_known(MediaStats, data["media"]))
    parts = {"turns": turns, "voices": voices, "events": events, "media": media}
    return CallOutcome(**{**_known(CallOutcome, data), **parts})


def _known(made: type[TurnOutcome] | type[CallOutcome] | type[MediaStats], data: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(made)}
    return {name: value for name, value in data.items() if name in names}


def samples(calls: Sequence[CallOutcome], timeout_s: float) -> dict[str, list[float]]:
    """What callers waited for, in seconds, by name; one sample a call, or a turn for ``ttfa_s``, or a turn that the
    caller said over the agent for ``stop_s``.

    Whoever waited in vain counts with the time waited, at least `timeout_s`: an unanswered turn in `ttfa_s`, and
    with it each question that the caller never came to ask because its call failed; a call without a greeting in
    `greeting_s` and `pickup_s`, a call without an agent in `wait_s`. A reply that cut in has no TTFA and is left
    out, unless the turn then went unanswered. A call that could not join its room, or was given none, counts as
    `timeout_s` in `join_s`.
    """
    turns = [turn for call in calls for turn in call.turns if turn.ttfa_s is not None or not turn.answered]
    heard = [turn.ttfa_s if turn.ttfa_s is not None else max(turn.waited_s, timeout_s) for turn in turns]
    return {
        "join_s": [_or_waited(call.connect_s, 0.0, timeout_s) for call in calls],
        "ttfa_s": heard + [timeout_s] * sum(call.lost_questions for call in calls),
        "greeting_s": [_or_waited(call.greeting_s, call.ended_s, timeout_s) for call in calls],
        "pickup_s": [_or_waited(call.pickup_s, call.join_after_s + call.ended_s, timeout_s) for call in calls],
        "wait_s": [_or_waited(call.wait_s, call.ended_s, timeout_s) for call in calls],
        "stop_s": [
            turn.stop_s if turn.stop_s is not None else timeout_s
            for call in calls
            for turn in call.turns
            if turn.barge_in
        ],
    }


def media_samples(calls: Sequence[CallOutcome]) -> dict[str, list[float]]:
    """How each call's packets went, one sample a call for which it is known: ``rtt``, ``jitter`` and ``gap`` in
    seconds, ``loss`` as a ratio, ``mos``."""
    media = [call.media for call in calls if call.media is not None]
    told = {
        "rtt": [one.rtt_s for one in media],
        "jitter": [one.jitter_s for one in media],
        "gap": [one.gap_s for one in media],
        "loss": [one.loss_ratio for one in media],
        "mos": [one.mos for one in media],
    }
    return {name: [value for value in values if value is not None] for name, values in told.items()}


def summary(outcomes: Iterable[CallOutcome], *, timeout_s: float = 10.0) -> dict[str, Any]:
    """The figures of a run, quantiles over all `samples` of all calls (never an average of quantiles).

    Returns:
        ``{"calls": {offered, answered, silent, cut}, "turns": {asked, answered, apologies},
        "join_s" | "ttfa_s" | "greeting_s" | "pickup_s" | "wait_s": {p50, p95, max}}``; quantiles in seconds, None
        without samples.
    """
    calls = list(outcomes)
    turns = [turn for call in calls for turn in call.turns]
    return {
        "calls": {
            "offered": len(calls),
            "answered": sum(call.answered for call in calls),
            "silent": sum(call.silent for call in calls),
            "cut": sum(call.cut for call in calls),
        },
        "turns": {
            "asked": len(turns),
            "answered": sum(turn.answered for turn in turns),
            "apologies": sum(turn.apology for turn in turns),
        },
        **{name: quantiles(values) for name, values in samples(calls, timeout_s).items() if name != "stop_s"},
    }


def quantiles(samples_s: Sequence[float]) -> dict[str, float | None]:
    """p50, p95 and max, exact (linear between neighbours); None for no samples: unknown is never zero."""
    if not samples_s:
        return {"p50": None, "p95": None, "max": None}
    p50, p95, top = np.quantile(np.asarray(samples_s, dtype=np.float64), (0.5, 0.95, 1.0))
    return {"p50": float(p50), "p95": float(p95), "max": float(top)}


def _or_waited(value_s: float | None, waited_s: float, timeout_s: float) -> float:
    return value_s if value_s is not None else max(waited_s, timeout_s)

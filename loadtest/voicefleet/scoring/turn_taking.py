"""Who spoke when, as events: answers, cut-ins, yields, and sounds that should not have stopped the agent. Pure.

Definitions and windows are tau-voice's (sierra-research/tau2-bench, `docs/interaction-metrics.md`, version 1.1),
so that figures compare. What differs, and why:

- Times are of speech at the caller's ear, not of ticks of 200 ms. Two spans of the agent are 200 ms apart at least.
- The last turn of a call counts too, when the caller waited: who hangs up unanswered was not answered.
- A sound that falls into the wait for an answer is not judged: the agent has to speak then, whatever it heard.
- An agent that ends its reply by itself just after a cough, as its own report says, did not stop for it: not judged.
- An agent that says its next sentence over a caller who just began to interrupt has not yielded; that is no cut-in too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from voicefleet.tasks.record import CallerSpeech, SpeechKind, TaskRecord

YIELD_WINDOW_S = 2.0
"""An agent that is interrupted has to be silent within this."""
KEEP_ON_WINDOW_S = 1.0
"""An agent that stops within this after a sound that is no turn stopped for it."""
REACT_WINDOW_S = 2.0
"""A silent agent that speaks within this after the end of a sound that is no turn answered it."""
LEAST_WAIT_S = 2.0
"""Who hangs up sooner after a turn did not wait for an answer."""

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class TurnEvent:
    """What the caller's turn got.

    Attributes:
        kind: a turn or a barge-in.
        cut_ins: times at which the agent began to speak before the turn was over: into it, or into a pause of it.
        response_s: end of the turn to the agent's first sound, 0 or more; None: no answer, or `spoken_through`.
        spoken_through: the agent was audible when the turn ended, so nothing tells when it answered.
        unanswered: none came, though the caller waited for one.
    """

    kind: SpeechKind
    at_s: float
    text: str
    cut_ins: tuple[float, ...]
    response_s: float | None
    spoken_through: bool
    unanswered: bool


@dataclass(frozen=True, slots=True)
class YieldEvent:
    """The caller spoke over the agent. `latency_s`: until it was silent; None: not within `YIELD_WINDOW_S`."""

    at_s: float
    latency_s: float | None


@dataclass(frozen=True, slots=True)
class IgnoreEvent:
    """A cough, a backchannel or words for somebody else: `right` when the agent went on, or kept silent."""

    kind: SpeechKind
    at_s: float
    right: bool


def turns(record: TaskRecord) -> tuple[TurnEvent, ...]:
    """Each turn and barge-in, in order."""
    return tuple(_turn(record, speech) for speech in record.caller if speech.kind.wants_reply)


def yields(record: TaskRecord) -> tuple[YieldEvent, ...]:
    """Each barge-in that met a speaking agent."""
    found = []
    for speech in record.caller:
        span = _speaking(record, speech.from_s)
        if speech.kind is SpeechKind.BARGE_IN and span is not None:
            latency_s = span[1] - speech.from_s
            found.append(YieldEvent(speech.from_s, latency_s if latency_s <= YIELD_WINDOW_S else None))
    return tuple(found)


def ignores(record: TaskRecord) -> tuple[IgnoreEvent, ...]:
    """Each sound that is no turn, and can be judged."""
    found = []
    for speech in record.caller:
        if not speech.kind.wants_reply:
            right = _ignored(record, speech)
            if right is not None:
                found.append(IgnoreEvent(speech.kind, speech.from_s, right))
    return tuple(found)


def _turn(record: TaskRecord, speech: CallerSpeech) -> TurnEvent:
    after_s = _next_turn_s(record, speech)
    through = _speaking(record, speech.to_s) is not None
    waited = after_s < record.duration_s or record.duration_s - speech.to_s >= LEAST_WAIT_S
    first_s = next((begin for begin, _ in record.agent if speech.to_s <= begin < after_s), None)
    return TurnEvent(
        kind=speech.kind,
        at_s=speech.from_s,
        text=speech.text,
        cut_ins=tuple(_cut_ins(record, speech)),
        response_s=None if through or first_s is None else first_s - speech.to_s,
        spoken_through=through,
        unanswered=not through and first_s is None and waited,
    )


def _cut_ins(record: TaskRecord, speech: CallerSpeech) -> Iterator[float]:
    # An agent that is being interrupted and says its next sentence is one that did not yield.
    over_s = _speaking(record, speech.from_s)
    from_s = speech.from_s if over_s is None else speech.from_s + YIELD_WINDOW_S
    yield from (begin for begin, _ in record.agent if from_s < begin < speech.to_s)


def _ignored(record: TaskRecord, speech: CallerSpeech) -> bool | None:
    span = _speaking(record, speech.from_s)
    if span is None:
        if _owed(record, speech):
            return None
        # A turn of the caller's ends the time in which a reaction would be to this sound.
        until_s = min(speech.to_s + REACT_WINDOW_S, _next_turn_s(record, speech))
        return not any(speech.from_s < begin <= until_s for begin, _ in record.agent)
    if span[1] > speech.from_s + KEEP_ON_WINDOW_S:
        return True
    return None if _ended_by_itself(record, span) else False


def _ended_by_itself(record: TaskRecord, span: Span) -> bool:
    """Whether the agent says that this was the end of a reply, not interrupted."""
    reply = next((said for said in record.said if said.at_s >= (span[0] + span[1]) / 2), None)
    if reply is None or reply.interrupted:
        return False
    # The same reply went on later: it paused, and resumed.
    return not any(span[1] < begin and (begin + end) / 2 <= reply.at_s for begin, end in record.agent)


def _owed(record: TaskRecord, speech: CallerSpeech) -> bool:
    """Whether an answer to an earlier turn was still to come when this sound began."""
    before = [turn for turn in record.caller if turn.kind.wants_reply and turn.from_s < speech.from_s]
    if not before:
        # Before the greeting.
        return not any(begin <= speech.from_s for begin, _ in record.agent)
    return not any(before[-1].to_s <= end and begin <= speech.from_s for begin, end in record.agent)


def _next_turn_s(record: TaskRecord, speech: CallerSpeech) -> float:
    """When the caller's next turn begins; the end of the call where none does."""
    later = [other.from_s for other in record.caller if other.kind.wants_reply and other.from_s > speech.from_s]
    return min(later, default=record.duration_s)


def _speaking(record: TaskRecord, at_s: float) -> Span | None:
    """The span of the agent's voice that was heard at this moment."""
    return next((span for span in record.agent if span[0] < at_s < span[1]), None)

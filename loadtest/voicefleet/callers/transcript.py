"""What was said in a call and when: the voices heard and the questions asked. No clock: times are arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

from voicefleet.callers.outcome import TurnOutcome

Span = tuple[str, float, float]
"""(identity, begin_s, end_s)."""

_OVERLAP_S = 0.06
"""Shorter than this is a click, no speech."""


@dataclass(slots=True)
class Voices:
    """The voices of one kind: agents, or waiting voices.

    Attributes:
        speaking: who speaks now -> since when.
        spans: what is over.
        until_s: when the last of them ended; -inf before.
    """

    speaking: dict[str, float] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    until_s: float = float("-inf")

    def began(self, who: str, t_s: float) -> None:
        self.speaking.setdefault(who, t_s)

    def ended(self, who: str, t_s: float) -> bool:
        """Whether `who` was speaking."""
        since = self.speaking.pop(who, None)
        if since is None:
            return False
        self.spans.append((who, since, t_s))
        self.until_s = max(self.until_s, t_s)
        return True


@dataclass(slots=True)
class Turn:
    """A question and the answer to it, so far; monotonic times. See `TurnOutcome`."""

    asked_s: float
    t0_s: float
    ttfa_s: float | None = None
    answered: bool = False
    cut_in: bool = False
    apology: bool = False
    waited_s: float | None = None
    reply_end_s: float | None = None
    barge_in: bool = False
    stop_s: float | None = None

    def apologised(self) -> None:
        """What was heard, or is about to be, is an apology: it is no answer."""
        self.apology, self.answered, self.ttfa_s = True, False, None

    def outcome(self, index: int, text: str, zero_s: float, ended_s: float) -> TurnOutcome:
        """What came of it in a call that ended at `ended_s`, in seconds since `zero_s`."""
        return TurnOutcome(
            index=index,
            text=text,
            asked_at_s=self.asked_s - zero_s,
            t0_s=self.t0_s - zero_s,
            ttfa_s=self.ttfa_s,
            answered=self.answered,
            cut_in=self.cut_in,
            apology=self.apology,
            waited_s=self.waited_s if self.waited_s is not None else ended_s - self.t0_s,
            reply_end_s=None if self.reply_end_s is None else self.reply_end_s - zero_s,
            barge_in=self.barge_in,
            stop_s=self.stop_s,
        )


def double_speech(spans: list[Span]) -> int:
    """How often one voice began or went on while another spoke, for longer than a click."""
    return sum(a[0] != b[0] and min(a[2], b[2]) - max(a[1], b[1]) > _OVERLAP_S for a, b in combinations(spans, 2))


def relative_to(zero_s: float, spans: list[Span]) -> tuple[Span, ...]:
    """The spans by begin, in seconds since `zero_s`."""
    return tuple((who, begin - zero_s, end - zero_s) for who, begin, end in sorted(spans, key=lambda span: span[1]))

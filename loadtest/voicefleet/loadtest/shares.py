"""Shares of one plan of arrivals: what each of several processes or pods plays of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """Calls of a plan.

    Attributes:
        numbers: of the calls, as the whole plan counts them: caller, questions and region follow from the number.
        offsets_s: their intended starts, seconds since the start of the run.
    """

    numbers: tuple[int, ...]
    offsets_s: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.numbers)


def share_of(offsets_s: Sequence[float], index: int, shares: int) -> Share:
    """Share number `index` of `shares`: together they are the whole plan, each call in one of them.

    Every so-many-th call: each share has the shape of the whole, a spike's begin and its end included.

    Args:
        offsets_s: of the whole plan, sorted.
        index: 0 to ``shares - 1``.
    """
    numbers = tuple(range(index, len(offsets_s), shares))
    return Share(numbers, tuple(float(offsets_s[number]) for number in numbers))

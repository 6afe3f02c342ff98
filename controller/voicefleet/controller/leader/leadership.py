"""Which of several controllers scales: only the leader. Everything else runs on every one of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Term:
    """One replica's time as the leader. Of two terms of one Lease, the higher number is the later one."""

    lease: str
    """The Lease's uid: one that was made anew counts from the beginning."""
    number: int


class Leadership(Protocol):
    """Whether this controller may change a pool now.

    Gated by it: writes to Kubernetes, and orders to workers that belong to a scale-down (two replicas must not cordon
    against each other). Not gated: webhooks, `/v1/calls`, the queue, repair, recovery, handoffs.
    """

    @property
    def leads(self) -> bool: ...

    @property
    def holder(self) -> str:
        """The replica that leads, as far as this one knows; empty when nobody does."""
        ...

    @property
    def trouble(self) -> str:
        """Why nobody can be elected now; empty when all is well."""
        ...

    @property
    def term(self) -> Term | None:
        """The term of this replica when it leads; None where nobody else can. What cannot be taken back carries it, so
        that a leader who sleeps between a look at `leads` and the deed is refused when somebody else leads since."""
        ...

    def remaining_s(self) -> float:
        """How long what this replica begins to write now may take; 0 when it does not lead."""
        ...

    async def release(self) -> None:
        """This replica ends: another one leads at once."""
        ...


class AlwaysLeads:
    """There is no other controller."""

    leads = True
    trouble = ""
    term = None

    def __init__(self, replica: str) -> None:
        self.holder = replica

    def remaining_s(self) -> float:
        return math.inf

    async def release(self) -> None:
        pass

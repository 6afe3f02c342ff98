"""What is shown while a load test runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.panel import Panel
from rich.text import Text

from voicefleet.callers.outcome import CallOutcome, quantiles
from voicefleet.reporting.table import shown


class Progress:
    """Calls placed, live and finished, and the answers' speed so far."""

    def __init__(self, calls: int, title: str = "voicefleet loadtest") -> None:
        self.outcomes: list[CallOutcome] = []
        self._calls = calls
        self._title = title
        self._placed = 0
        self._live: set[str] = set()

    def on_event(self, call_id: str, kind: str, _t_s: float, _data: Mapping[str, Any]) -> None:
        """The swarm's events."""
        if kind == "due":
            self._placed += 1
        elif kind == "joined":
            self._live.add(call_id)

    def finished(self, outcome: CallOutcome) -> None:
        """A call is over."""
        self._live.discard(outcome.call_id)
        self.outcomes.append(outcome)

    def render(self) -> RenderableType:
        """The picture at this moment."""
        heard = quantiles([t.ttfa_s for o in self.outcomes for t in o.turns if t.ttfa_s is not None])
        failed = sum(outcome.failed for outcome in self.outcomes)
        text = (
            f"calls: {self._placed} of {self._calls} placed, {len(self._live)} live, {len(self.outcomes)} finished"
            f"{f', {failed} failed' if failed else ''}\n"
            f"TTFA so far: p50 {shown(heard['p50'], ' s')}, p95 {shown(heard['p95'], ' s')}"
        )
        return Panel(Text(text), title=self._title)

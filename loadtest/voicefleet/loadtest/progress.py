"""What is shown while a load test runs: a picture in a terminal, else a line now and then."""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from voicefleet.callers.health import GeneratorHealth
from voicefleet.callers.outcome import CallOutcome, quantiles
from voicefleet.loadtest.figures import Figures, figures_of, with_unit
from voicefleet.loadtest.thresholds import Condition
from voicefleet.reporting.table import shown
from voicefleet.runtime.clock import Clock

_LOOK_EVERY_S = 1.0
_SAY_EVERY_S = 10.0
_RATE_OVER_S = 10.0
_RESULTS = {"answered": "green", "unanswered": "red", "silent": "red", "cut": "red", "error": "red"}
"""What may have become of a call, with its colour."""
_FRESH = 1.02
"""Figures are made anew when there are so many times the calls: with thousands of calls each time takes a while."""


class Progress:
    """What has happened so far. Time counts from its creation, or from `begin`.

    Args:
        offsets_s: intended starts of the calls, sorted.
        title: of the picture.
        timeout_s: what a turn without an answer counts, at least.
        fail_if: conditions that must not become true.
        until: one that must stay true.
    """

    def __init__(
        self,
        offsets_s: Sequence[float],
        clock: Clock,
        title: str = "voicefleet loadtest",
        *,
        timeout_s: float = 10.0,
        fail_if: Sequence[Condition] = (),
        until: Condition | None = None,
    ) -> None:
        self.outcomes: list[CallOutcome] = []
        self.health: GeneratorHealth | None = None
        self._offsets_s = tuple(offsets_s)
        self._clock, self._began_s = clock, clock.monotonic()
        self._title, self._timeout_s = title, timeout_s
        self._broken_if = [(condition, True) for condition in fail_if]
        if until is not None:
            self._broken_if.append((until, False))
        self._placed_s: list[float] = []
        self._live: set[str] = set()
        self._alone: set[str] = set()
        self._results: Counter[str] = Counter()
        self._ttfa_s: list[float] = []
        self._figures: tuple[int, Figures] | None = None

    def begin(self) -> None:
        """Time counts from now on."""
        self._began_s = self._clock.monotonic()

    # --- what happens ---

    def on_event(self, call_id: str, kind: str, _t_s: float, data: Mapping[str, Any]) -> None:
        """The swarm's events."""
        if kind == "due":
            self._placed_s.append(self._elapsed_s())
        elif kind == "joined":
            self._live.add(call_id)
            self._alone.add(call_id)
        elif kind == "agent_joined":
            self._alone.discard(call_id)
        elif kind == "reply" and data.get("ttfa_s") is not None:
            self._ttfa_s.append(data["ttfa_s"])

    def finished(self, outcome: CallOutcome) -> None:
        """A call is over."""
        self._live.discard(outcome.call_id)
        self._alone.discard(outcome.call_id)
        self._results[outcome.result] += 1
        self.outcomes.append(outcome)

    # --- how it looks ---

    def render(self) -> RenderableType:
        """The picture at this moment."""
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim", no_wrap=True)
        rows.add_column(overflow="fold")
        now_s = self._elapsed_s()
        rows.add_row("time", f"{_clock_time(now_s)}; the last call comes at {_clock_time(self._last_s)}")
        rows.add_row("calls", self._calls())
        rows.add_row("arrivals", self._arrivals(now_s))
        rows.add_row("finished", self._finished())
        rows.add_row("TTFA", self._ttfa())
        rows.add_row("generator", self._generator())
        for condition, value, broken in self._conditions():
            word = "not known yet" if value is None else "broken" if broken else "holds"
            style = "" if value is None else "bold red" if broken else "green"
            found = f", {with_unit(condition.name, value)} so far" if value is not None else ""
            rows.add_row(Text(condition.text), Text.assemble((word, style), found))
        return Panel(rows, title=self._title)

    def line(self) -> str:
        """The same in one line."""
        conditions = [
            f"{condition.text}: {'broken' if broken else 'holds'} ({with_unit(condition.name, value)})"
            for condition, value, broken in self._conditions()
            if value is not None
        ]
        parts = (f"calls: {self._calls()}", f"finished: {self._finished()}", f"TTFA {self._ttfa()}", *conditions)
        late = self.health is not None and self.health.void
        return f"{_clock_time(self._elapsed_s())} {'; '.join([*parts, *(['GENERATOR TOO LATE'] if late else [])])}"

    # --- inside ---

    @property
    def _last_s(self) -> float:
        return self._offsets_s[-1] if self._offsets_s else 0.0

    def _elapsed_s(self) -> float:
        return self._clock.monotonic() - self._began_s

    def _calls(self) -> str:
        alone = f" ({len(self._alone)} without an agent)" if self._alone else ""
        return f"{len(self._placed_s)} of {len(self._offsets_s)} placed, {len(self._live)} in progress{alone}"

    def _arrivals(self, now_s: float) -> str:
        span_s = min(now_s, _RATE_OVER_S)
        if span_s < 1.0:
            return "–"
        came, planned = (
            (bisect_right(times, now_s) - bisect_right(times, now_s - span_s)) / span_s
            for times in (self._placed_s, self._offsets_s)
        )
        return f"{came:.1f} a second, {planned:.1f} planned (last {span_s:.0f} s)"

    def _finished(self) -> Text:
        counts = [(result, self._results[result]) for result in _RESULTS]
        said = [(f"{count} {result}", _RESULTS[result]) for result, count in counts if count]
        text = Text(f"{len(self.outcomes)}")
        for i, (words, style) in enumerate(said):
            text.append(", " if i else ": ").append(words, style)
        return text

    def _ttfa(self) -> str:
        heard = quantiles(self._ttfa_s)
        return f"p50 {shown(heard['p50'], ' s')}, p95 {shown(heard['p95'], ' s')} (answers: {len(self._ttfa_s)})"

    def _generator(self) -> Text:
        health = self.health
        if health is None:
            return Text("–")
        if health.void:
            return Text(f"too late: {health.lateness}", style="bold red")
        pacing = f", frames by {health.pacing_p99_s:.3f} s" if health.pacing_p99_s is not None else ""
        late = f"late by {shown(health.lag_p99_s, ' s', 3)}{pacing} (p99), {health.cpu_share:.0%} of the cores"
        return Text.assemble(("on time", "green"), f": {late}")

    def _conditions(self) -> Iterator[tuple[Condition, float | None, bool]]:
        """Each condition with its figure, and whether it is broken, as of the calls that are over."""
        if not self._broken_if:
            return
        outcomes = tuple(self.outcomes)
        if self._figures is None or len(outcomes) >= max(self._figures[0] + 1, self._figures[0] * _FRESH):
            self._figures = len(outcomes), figures_of(outcomes, self._timeout_s)
        figures = self._figures[1]
        for condition, broken_if in self._broken_if:
            value = figures[condition.name] if outcomes else None
            yield condition, value, value is not None and condition.holds(figures) is broken_if


@contextlib.asynccontextmanager
async def showing(
    progress: Progress, console: Console, clock: Clock, health: Callable[[], Awaitable[GeneratorHealth | None]]
) -> AsyncIterator[None]:
    """Show the progress for the block: a picture in a terminal, elsewhere a line every 10 s.

    Args:
        health: asked every second.
    """
    in_place = console.is_terminal and not console.is_dumb_terminal

    async def follow() -> None:
        said_s = clock.monotonic()
        while True:
            await clock.sleep(_LOOK_EVERY_S)
            progress.health = await health()
            if not in_place and clock.monotonic() >= said_s + _SAY_EVERY_S:
                said_s += _SAY_EVERY_S
                console.print(progress.line(), markup=False, highlight=False, soft_wrap=True)

    following = asyncio.create_task(follow(), name="progress")
    try:
        # Drawn by a thread of its own: a terminal that is slow to take it does not hold up the calls.
        picture = Live(get_renderable=progress.render, console=console, refresh_per_second=2, transient=True)
        with picture if in_place else contextlib.nullcontext():
            yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"

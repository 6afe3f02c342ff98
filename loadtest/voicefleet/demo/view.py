"""The demo's live display in the terminal."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from voicefleet.callers.outcome import CallOutcome, quantiles
from voicefleet.demo.fleet_history import History, Sample
from voicefleet.demo.options import REGIONS
from voicefleet.reporting.table import figures_table, shown
from voicefleet.runtime.clock import Clock


class DemoView:
    """What is shown while the demo runs: its phase, the fleet, the last events. Times count from its creation."""

    def __init__(self, clock: Clock, calls: int, history: History) -> None:
        self.phase = "setting up"
        self.regions_of_calls: dict[int, str] = {}
        self._clock = clock
        self._began_s = clock.monotonic()
        self._calls = calls
        self._history = history
        self._log: deque[str] = deque(maxlen=8)
        self._ttfa_s: dict[str, list[float]] = {}
        self._offered = 0
        self._finished = 0

    def now(self) -> float:
        return self._clock.monotonic() - self._began_s

    def say(self, text: str) -> None:
        self._log.append(f"{self.now():6.1f} s  {text}")

    def render(self) -> RenderableType:
        counts = (self._offered, self._calls, self._finished)
        return picture(self.phase, self.now(), counts, self._history, REGIONS, self._ttfa_s, list(self._log))

    def on_event(self, call_id: str, kind: str, t_s: float, _: Mapping[str, Any]) -> None:
        """An event of the swarm; only the important ones are shown."""
        region = self.regions_of_calls.get(int(call_id.rsplit("-", 1)[1]), "")
        if kind == "due":
            self._offered += 1
        elif kind in ("joined", "silent", "cut", "failed", "greeting"):
            self.say(f"{call_id} {region}  {kind}" + (f" after {t_s:.2f} s" if kind == "greeting" else ""))

    def finished(self, outcome: CallOutcome) -> None:
        """A call is over."""
        self._finished += 1
        heard = [t.ttfa_s for t in outcome.turns if t.ttfa_s is not None]
        self._ttfa_s.setdefault(outcome.region, []).extend(heard)
        answered = sum(t.answered for t in outcome.turns)
        verdict = "cut" if outcome.cut else "silent" if outcome.silent else f"{answered} turns answered"
        self.say(f"{outcome.call_id} {outcome.region}  ended, {outcome.error or verdict}")


_SQUARES = 12
"""Up to so many slots, each is drawn as a square."""


def fleet_table(history: History, regions: Sequence[str], ttfa_s: dict[str, list[float]]) -> Table:
    """One line a region: workers by state, slots, calls, answers' speed."""
    headers = ("starting", "ready", "draining", "slots", "live", "waiting", "TTFA p50", "TTFA p95")
    table = figures_table("", "region", headers)
    for region in regions:
        s = history.last(region) or Sample(0.0, *([None] * 7))
        heard = quantiles(ttfa_s.get(region, []))
        table.add_row(
            region,
            Text(shown(s.starting), style="yellow" if s.starting else ""),
            Text(shown(s.ready), style="green"),
            Text(shown(s.draining), style="magenta" if s.draining else ""),
            _slots(s),
            shown(s.live),
            Text(shown(s.waiting), style="bold red" if s.waiting else ""),
            *(shown(heard[q], " s") for q in ("p50", "p95")),
        )
    return table


def _slots(s: Sample) -> str:
    if s.slots is None or s.live is None:
        return "–"
    used = min(s.live, s.slots)
    return "■" * used + "□" * (s.slots - used) + f" {s.slots}" if s.slots <= _SQUARES else f"{used}/{s.slots}"


def picture(
    phase: str,
    t_s: float,
    counts: tuple[int, int, int],
    history: History,
    regions: Sequence[str],
    ttfa_s: dict[str, list[float]],
    log: Sequence[str],
) -> RenderableType:
    """The whole picture: what is going on, the fleet, the last events.

    Args:
        counts: calls offered so far, calls in all, calls finished.
    """
    offered, total, done = counts
    head = Text.assemble((f"{phase}", "bold"), f"   {t_s:5.1f} s   calls {offered} of {total} placed, {done} finished")
    return Panel(
        Group(head, fleet_table(history, regions, ttfa_s), Text("\n".join(log), style="dim")), title="voicefleet demo"
    )

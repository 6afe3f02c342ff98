"""The live picture of the demo in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from voicefleet.callers.outcome import quantiles
from voicefleet.demo.history import History, Sample
from voicefleet.reporting.table import shown


def fleet_table(history: History, regions: Sequence[str], ttfa_s: dict[str, list[float]]) -> Table:
    """One line a region: workers by state, slots, calls, answers' speed."""
    table = Table(expand=True, header_style="bold")
    table.add_column("region")
    for name in ("starting", "ready", "draining", "slots", "live", "waiting", "TTFA p50", "TTFA p95"):
        table.add_column(name, justify="right")
    for region in regions:
        s = history.last(region) or Sample(0.0, *([None] * 7))
        heard = quantiles(ttfa_s.get(region, []))
        waiting = Text(shown(s.waiting), style="bold red" if s.waiting else "")
        ready = Text(shown(s.ready), style="green")
        table.add_row(
            region,
            Text(shown(s.starting), style="yellow" if s.starting else ""),
            ready,
            Text(shown(s.draining), style="magenta" if s.draining else ""),
            _slots(s),
            shown(s.live),
            waiting,
            shown(heard["p50"], " s"),
            shown(heard["p95"], " s"),
        )
    return table


def _slots(s: Sample) -> Text:
    if s.slots is None or s.live is None:
        return Text("–")
    used = min(s.live, s.slots)
    return Text("■" * used + "□" * (s.slots - used) + f" {s.slots}") if s.slots <= 24 else Text(f"{used}/{s.slots}")


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

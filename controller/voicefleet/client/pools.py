"""What `voicefleet status` shows of regions with several pools: their sums, and the canaries."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from voicefleet.contract.api import CanaryView, RegionView
from voicefleet.reporting.table import shown

_STYLES = {"rolled_back": "bold red", "promoted": "green"}


def add_total(table: Table, pools: Sequence[RegionView]) -> None:
    """A row with the sums of a region that has several pools; a sum of something unknown is unknown."""

    def total(name: str) -> str:
        counts = [getattr(pool, name) for pool in pools]
        return shown(None if None in counts else sum(counts))

    counts = (total(name) for name in ("slots", "live", "waiting", "silent", "refused"))
    workers = f"{total('ready')}/{total('desired_workers')}"
    table.add_row(f"{pools[0].place}, {len(pools)} pools", "", workers, *counts, "", style="bold")


def canaries_table(canaries: Sequence[CanaryView]) -> Table:
    """Each canary, its share of the new calls, and why it is where it is."""
    table = Table(
        title="Canaries (share of the new calls; calls seen of those wanted)",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for header in ("agent", "version", "state", "share", "calls", "why"):
        table.add_column(header, overflow="fold")
    for view in canaries:
        state = Text(view.state.replace("_", " "), style=_STYLES.get(view.state, ""))
        calls = "–" if view.calls is None else f"{view.calls}/{view.min_calls}" if view.min_calls else str(view.calls)
        agent = f"{view.agent} in {view.region}" if view.agent else view.region
        tried = f"tier {view.version}" if view.kind == "tier" else view.version
        table.add_row(Text(agent), Text(tried), state, f"{view.weight} %", calls, Text(view.reason))
    return table

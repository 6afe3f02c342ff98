"""What `voicefleet simulate`, `plan` and `explain` print on a terminal of 80 columns."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from support.outcomes import region_view
from voicefleet.client import explain as explaining
from voicefleet.contract.api import DecisionView, RegionView
from voicefleet.contract.decisions import DecisionInputs
from voicefleet.simulator.command import Source, plan, simulate
from voicefleet.simulator.provision import Promise
from voicefleet.simulator.world import World

pytestmark = pytest.mark.unit

HEADERS = {"policy", "waited", "wait", "p99", "lost", "killed", "worker", "hours", "cost", "changes"}


def printer() -> tuple[io.StringIO, Console]:
    out = io.StringIO()
    return out, Console(file=out, width=80, soft_wrap=True, highlight=False)


def simulated(source: Source, policies: str, *, sweep: bool) -> str:
    out, console = printer()
    options = {"policies": policies, "allowed": 0.5, "sweep": sweep, "report": None, "json_path": None}
    assert simulate(source, World(slots=4), console=console, **options) == 0  # type: ignore[arg-type]
    return out.getvalue()


def test_the_headers_of_a_sweep_stand_whole_in_80_columns() -> None:
    text = simulated(Source(traffic="burst", calls=300, mean_live=20.0), "rate-x-start,knative,oracle", sweep=True)
    table, _, rest = text.partition("Cost: times the least possible.")
    assert max(map(len, table.splitlines())) <= 80
    assert set(table.split()) >= HEADERS
    assert "…" not in text
    assert "rate-x-start at " in table
    assert "the best target concurrency that the sweep found" in rest


def test_figures_of_a_swamped_fleet_stand_whole() -> None:
    source = Source(traffic="stationary", calls=12_000, mean_live=1_000.0)
    out, console = printer()
    # A fleet that is far too small shows the longest figures.
    code = simulate(
        source, World(slots=1, max_workers=100, patience_s=5.0),
        policies="rate-x-start", allowed=0.001, sweep=False, report=None, json_path=None, console=console,
    )  # fmt: skip
    assert code == 0
    table = out.getvalue().partition("Cost:")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert set(table.split()) >= HEADERS
    [row] = [line.split() for line in table.splitlines() if "rate-x-start" in line]
    assert len(row) == 9
    assert int(row[4]) > 5_000


def test_a_plan_is_told_in_whole_sentences(tmp_path: Path) -> None:
    calls = tmp_path / "calls.csv"
    calls.write_text("arrival_s,duration_s\n" + "".join(f"{5 * i},60\n" for i in range(100)))
    out, console = printer()
    plan(
        [f"eu={calls}"], World(slots=4), Promise(0.99, 2.0),
        price=0.1, workers_per_node=4, seed=1, json_path=None, console=console,
    )  # fmt: skip
    first, second, *_ = out.getvalue().splitlines()
    assert first == "99.000% of the calls wait less than 2 s, none is cut."
    assert second.startswith("eu: min_workers ")
    assert "…" not in out.getvalue()


def test_a_decision_is_told_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    detail = "12345 live and 120 waiting, 300 expected to end, 250 to arrive in 43 s, P(wait) = 0.0009"
    decision = DecisionView(
        region="eu", at="2026-12-01T09:00:00.000Z", desired=1300, reason="calls", detail=detail,
        inputs=DecisionInputs(), shadow=False,
    )  # fmt: skip

    async def asked(_: str | None) -> tuple[list[RegionView], list[DecisionView]]:
        return [region_view("eu")], [decision]

    monkeypatch.setattr(explaining, "_ask", asked)
    out, console = printer()
    assert explaining.explain("eu", None, limit=1, json_path=None, console=console) == 0
    assert out.getvalue().splitlines()[1:] == [f"2026-12-01T09:00:00.000Z  desired 1300: {detail} (calls)"]

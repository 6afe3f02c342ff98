"""Comparing two runs: a change is found, chance is not taken for one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from support.outcomes import CUT, GOOD, TURN
from support.terminal import terminal, text_of
from voicefleet.callers.health import GeneratorHealth
from voicefleet.callers.outcome import CallOutcome
from voicefleet.contract.errors import ConfigError
from voicefleet.loadtest.command_compare import compare_results
from voicefleet.loadtest.comparison import Change, _quantiles, compare
from voicefleet.loadtest.result import build_result

pytestmark = pytest.mark.unit

FINE = GeneratorHealth(lag_p99_s=0.02, lag_max_s=0.1, cpu_share=0.4)


def a_run(seed: int, calls: int = 60, slower: float = 1.0) -> list[CallOutcome]:
    """Calls whose turns are alike: some callers are slow in all of theirs."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(calls):
        caller = rng.lognormal(-0.6, 0.2)
        turns = tuple(replace(TURN, index=i, ttfa_s=slower * caller * rng.lognormal(0, 0.15)) for i in range(3))
        made.append(replace(GOOD, turns=turns, greeting_s=float(rng.lognormal(0, 0.3))))
    return made


def changes(before: list[CallOutcome], after: list[CallOutcome], allowed: float = 0.0) -> dict[str, Change]:
    return {row.figure: row.change for row in compare(before, after, allowed=allowed)}


def test_two_runs_of_the_same_are_rarely_called_different() -> None:
    told = [set(changes(a_run(seed), a_run(1000 + seed)).values()) for seed in range(20)]
    assert sum(found != {Change.NONE} for found in told) <= 3


def test_a_slower_run_is_worse_the_other_way_round_better_and_within_what_is_allowed_neither() -> None:
    before, after = a_run(1), a_run(2, slower=1.3)
    assert changes(before, after)["ttfa_p50"] is Change.WORSE
    assert changes(after, before)["ttfa_p50"] is Change.BETTER
    assert changes(before, after, allowed=0.4)["ttfa_p50"] is Change.NONE
    assert changes(before, after)["pickup_p50"] is Change.NONE


def test_the_interval_holds_the_true_change() -> None:
    inside = 0
    for seed in range(15):
        row = compare(a_run(seed), a_run(500 + seed, slower=1.2), allowed=0.0)[0]
        assert row.low is not None
        assert row.high is not None
        inside += row.low <= 0.2 <= row.high
    assert inside >= 13


def test_failures_are_compared_even_where_one_run_had_none() -> None:
    failing = [*a_run(2, calls=40), *[CUT] * 20]
    assert changes(a_run(1), failing)["calls_failed_ratio"] is Change.WORSE
    assert changes(a_run(1), [*a_run(2, calls=59), CUT])["calls_failed_ratio"] is Change.NONE


def test_what_was_not_measured_is_unknown() -> None:
    silent = [replace(call, turns=()) for call in a_run(1)]
    row = compare(silent, a_run(2), allowed=0.0)[0]
    assert (row.before, row.low, row.change) == (None, None, Change.UNKNOWN)


def written(path: Path, calls: list[CallOutcome], health: GeneratorHealth = FINE) -> Path:
    path.write_text(json.dumps(build_result(calls, health, 1.0)))
    return path


def test_the_command_tells_by_its_exit_code(tmp_path: Path) -> None:
    a, b = written(tmp_path / "a.json", a_run(1)), written(tmp_path / "b.json", a_run(2, slower=1.4))
    void = written(tmp_path / "void.json", a_run(1), replace(FINE, lag_p99_s=0.4))
    console = terminal()
    assert compare_results(a, b, allowed=0.05, json_path=tmp_path / "c.json", console=console) == 1
    assert "worse: ttfa_p50, ttfa_p95" in text_of(console)
    assert json.loads((tmp_path / "c.json").read_text())["verdict"] == "bad"
    assert compare_results(b, a, allowed=0.05, json_path=None, console=terminal()) == 0
    assert compare_results(a, void, allowed=0.05, json_path=None, console=terminal()) == 3


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    good, few = written(tmp_path / "a.json", a_run(1)), written(tmp_path / "few.json", a_run(1, calls=3))
    other = tmp_path / "other.json"
    other.write_text("{}")
    broken = tmp_path / "broken.json"
    broken.write_text(good.read_text().replace('"call_id"', '"call"'))
    timeout = tmp_path / "timeout.json"
    timeout.write_text(good.read_text().replace('"turn_timeout_s": 10.0', '"turn_timeout_s": 5.0'))
    for path, says in (
        (few, "3 calls"),
        (other, "no result"),
        (broken, "not a load test's"),
        (timeout, "time-outs"),
        (tmp_path / "none", "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=says):
            compare_results(good, path, allowed=0.0, json_path=None, console=terminal())


def test_the_drawn_quantiles_are_those_of_the_drawn_samples() -> None:
    rng = np.random.default_rng(1)
    values, times = np.sort(rng.random(50)), rng.integers(0, 4, size=50)
    exact = np.quantile(np.repeat(values, times), (0.5, 0.95))
    assert _quantiles(values, np.cumsum(times)) == pytest.approx(exact.tolist())

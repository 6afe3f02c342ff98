"""A load that several processes play together: each call in one share, and one result of all parts."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.outcomes import GOOD, TURN
from support.terminal import terminal, text_of
from support.virtual_time import LoopClock, run
from voicefleet.callers.health import GeneratorHealth
from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.swarm import SwarmSettings, run_swarm
from voicefleet.contract.api import CallTicket
from voicefleet.contract.errors import UnreachableError
from voicefleet.loadtest.arrivals import Arrivals
from voicefleet.loadtest.command_compare import compare_results
from voicefleet.loadtest.command_loadtest import show
from voicefleet.loadtest.exports import junit_xml
from voicefleet.loadtest.figures import known_figures
from voicefleet.loadtest.merging import Part, merged
from voicefleet.loadtest.page import render_result
from voicefleet.loadtest.result import Verdict, build_result
from voicefleet.loadtest.shares import share_of
from voicefleet.loadtest.thresholds import parse_condition
from voicefleet.speech.clips import load_utterances

pytestmark = pytest.mark.unit

FINE = GeneratorHealth(lag_p99_s=0.02, lag_max_s=0.1, cpu_share=0.4)
LATE = replace(FINE, lag_p99_s=0.3)
SPIKE = Arrivals(shape="spike", rate=0.5, factor=5, duration_s=120)


def a_call(number: int, ttfa_s: float = 0.5) -> CallOutcome:
    return replace(GOOD, call_id=f"call-{number:05d}", t_start_s=float(number), turns=(replace(TURN, ttfa_s=ttfa_s),))


def a_part(number: int, *calls: CallOutcome, planned: int | None = None, **changes: object) -> Part:
    whole = Part(f"pod {number}", len(calls) if planned is None else planned, calls, FINE, 60.0)
    return replace(whole, **changes)  # type: ignore[arg-type]


def result_of(*parts: Part, fail_if: str = "") -> dict[str, object]:
    conditions = (parse_condition(fail_if, field="--fail-if"),) if fail_if else ()
    return merged(parts, fail_if=conditions, timeout_s=10.0)


# --- shares ---


@given(st.integers(1, 40), st.integers(0, 1000))
def test_each_call_is_in_exactly_one_share(shares: int, seed: int) -> None:
    offsets = list(map(float, SPIKE.offsets(seed)))
    found = [share_of(offsets, index, shares) for index in range(shares)]
    played = sorted(pair for share in found for pair in zip(share.numbers, share.offsets_s, strict=True))
    assert played == list(enumerate(offsets))
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_each_share_has_the_shape_of_the_whole() -> None:
    offsets = list(map(float, SPIKE.offsets(3)))
    for index in range(2):
        share = np.array(share_of(offsets, index, 2).offsets_s, dtype=np.float64)
        rates = [np.count_nonzero((share >= begin) & (share < begin + 40)) for begin in (0, 40, 80)]
        assert rates[1] > 3 * max(rates[0], rates[2])


async def _refuse(call: int) -> CallTicket:
    raise UnreachableError(f"call {call}", field="--controller", hint="x")


def played(numbers: tuple[int, ...] | None, offsets_s: tuple[float, ...], start_s: float | None) -> list[CallOutcome]:
    async def play() -> list[CallOutcome]:
        await asyncio.sleep(100.0)
        swarm = run_swarm(
            offsets_s,
            _refuse,
            load_utterances(),
            SwarmSettings(seed=4),
            clock=LoopClock(),
            numbers=numbers,
            start_s=start_s,
        )
        async with aclosing(swarm):
            return sorted([outcome async for outcome in swarm], key=lambda outcome: outcome.call_id)

    return run(play())


def test_two_shares_place_the_calls_of_the_whole() -> None:
    offsets = (0.0, 1.0, 1.5, 7.0, 9.0)
    whole = played(None, offsets, None)
    shares = [share_of(offsets, index, 2) for index in range(2)]
    parts = [outcome for share in shares for outcome in played(share.numbers, share.offsets_s, None)]
    assert sorted(parts, key=lambda outcome: outcome.call_id) == whole
    assert "call 4" in str(whole[4].error)


def test_a_share_begins_at_the_agreed_time_and_what_was_due_before_is_late() -> None:
    outcomes = played((2, 5), (1.0, 30.0), start_s=90.0)
    assert [(o.call_id, o.t_start_s, o.lag_s) for o in outcomes] == [
        ("call-00002", 1.0, 9.0),
        ("call-00005", 30.0, 0.0),
    ]


# --- results ---


@given(st.lists(st.floats(0.01, 9.0), min_size=1, max_size=60), st.integers(1, 7), st.randoms())
def test_merged_figures_are_those_of_the_raw_samples(waits: list[float], count: int, random: object) -> None:
    calls = [a_call(number, wait) for number, wait in enumerate(waits)]
    parts = [a_part(index, *calls[index::count]) for index in range(count)]
    alone = build_result(calls, FINE, 60.0)
    together = result_of(*parts)
    assert together["figures"] == alone["figures"]
    assert together["outcomes"] == alone["outcomes"]
    for percent in (50, 95, 99):
        assert together["figures"][f"ttfa_p{percent}"] == pytest.approx(np.quantile(waits, percent / 100))  # type: ignore[index]
    assert set(alone["figures"]) == set(known_figures())


def test_one_late_part_voids_the_run_and_is_not_averaged_away() -> None:
    result = result_of(a_part(0, a_call(0)), a_part(1, a_call(1), health=LATE), a_part(2, a_call(2)))
    assert result["verdict"] == "void"
    assert result["generator"]["lag_p99_s"] == 0.3  # type: ignore[index]


def test_shares_of_several_machines_do_not_add_up() -> None:
    found = merged([a_part(0, a_call(0)), a_part(1, a_call(1))], fail_if=(), timeout_s=10.0)
    assert found["generator"]["cpu_share"] == pytest.approx(0.4)


def test_packets_of_all_parts_are_counted_and_jitter_is_the_worst() -> None:
    def engine(packets: int, jitter_ms: float) -> dict[str, object]:
        return {"name": "go", "playout_delay_s": 0.03, "packets": {"packets": packets, "jitter_ms": jitter_ms}}

    parts = [a_part(0, a_call(0), engine=engine(5, 2.0)), a_part(1, a_call(1), engine=engine(7, 9.0)), a_part(2)]
    assert result_of(*parts)["engine"] == engine(12, 9.0)


def test_a_lost_part_makes_the_result_partial_and_the_rest_is_reported() -> None:
    lost = a_part(1, a_call(1), planned=3, trouble="killed")
    result = result_of(a_part(0, a_call(0), a_call(2)), lost, fail_if="ttfa_p95>1.0")
    assert result["verdict"] == Verdict.PARTIAL
    assert Verdict.PARTIAL.exit_code == 4
    assert result["missing"] == ["pod 1: killed; 2 of its 3 calls are missing"]
    assert result["shortcomings"] == ["partial: pod 1: killed; 2 of its 3 calls are missing"]
    assert len(result["outcomes"]) == 3  # type: ignore[arg-type]
    assert [(part["name"], part["finished"], part["planned"]) for part in result["parts"]] == [  # type: ignore[attr-defined]
        ("pod 0", 2, 2),
        ("pod 1", 1, 3),
    ]


def test_what_breaks_under_a_part_of_the_load_is_broken() -> None:
    lost = a_part(1, planned=3, trouble="killed", health=None, wall_s=None)
    result = result_of(a_part(0, a_call(0, 2.0)), lost, fail_if="ttfa_p95>1.0")
    assert result["verdict"] == "bad"
    assert [text.split(":")[0] for text in result["shortcomings"]] == ["ttfa_p95>1.0", "partial"]  # type: ignore[attr-defined]


def test_lines_that_were_lost_are_missing_although_the_part_ended_in_order() -> None:
    result = result_of(a_part(0, a_call(0), planned=2))
    assert result["missing"] == ["pod 0: some of its results were lost; 1 of its 2 calls are missing"]


def test_a_part_that_began_late_did_not_play_the_plan() -> None:
    result = result_of(a_part(0, a_call(0), trouble="it began 7.0 s late"))
    assert (result["verdict"], result["missing"]) == ("partial", ["pod 0: it began 7.0 s late"])


def test_a_run_of_which_nothing_is_left_is_no_good_one() -> None:
    nothing = [a_part(number, planned=3, trouble="killed", health=None, wall_s=None) for number in range(2)]
    assert result_of(*nothing)["verdict"] == "partial"
    assert result_of(*nothing, fail_if="ttfa_p95>1.0")["verdict"] == "bad"


def test_all_forms_of_a_partial_result_say_so(tmp_path: Path) -> None:
    result = result_of(a_part(0, *map(a_call, range(30))), a_part(1, planned=3, trouble="killed", health=None))
    console = terminal()
    show(result, console)
    assert "pod 1: killed; 3 of its 3 calls are missing" in text_of(console)
    assert "0 of 3" in text_of(console)
    suite = ElementTree.fromstring(junit_xml(result, "x"))
    assert (suite.get("errors"), suite.get("failures")) == ("1", "0")
    assert "Partial" in render_result(result, "x")
    whole, partial = tmp_path / "whole.json", tmp_path / "partial.json"
    whole.write_text(json.dumps(build_result(list(map(a_call, range(30))), FINE, 60.0)))
    partial.write_text(json.dumps(result))
    assert compare_results(whole, partial, allowed=0.05, json_path=None, console=terminal()) == 4

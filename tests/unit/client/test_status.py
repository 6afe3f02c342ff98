"""`voicefleet status` on a terminal of 80 columns: every header whole, every figure there."""

from __future__ import annotations

import re

import pytest

from support.outcomes import region_view
from support.terminal import rendered
from voicefleet.client.status import Seen, picture
from voicefleet.contract.api import (
    CallView,
    CanaryView,
    DecisionView,
    FindingView,
    HistoryPoint,
    IncidentView,
    WorkerView,
)
from voicefleet.contract.decisions import DecisionInputs
from voicefleet.controller.http.views import totals

pytestmark = pytest.mark.unit

HEADERS = ("region", "state", "workers", "slots", "live", "waiting", "silent", "refused", "TTFA")


def point(ttfa_p50_s: float | None) -> HistoryPoint:
    return HistoryPoint(
        at="2026-01-01T00:00:00Z",
        desired=1,
        ready=1,
        live=0,
        waiting=0,
        silent=0,
        ttfa_p50_s=ttfa_p50_s,
        ttfa_p95_s=12.345,
    )


def seen(**changes: object) -> Seen:
    worker = WorkerView(id="eu-7f9c6d5b4-x2k8p", state="crash_looping", slots=10, live=10, age_s=123_456.0)
    big = region_view("eu-central", ready=12_345, live=1_456, slots=12_350)
    big = big.model_copy(update={"workers": [worker], "more_workers": 12_344})
    return Seen(
        **{
            "regions": [big, region_view("us", ready=None, live=None, slots=None)],
            "calls": [CallView(room="call-1", region="us", state="waiting", since_s=3.2)],
            "decisions": [
                DecisionView(
                    region="eu-central",
                    at="2026-01-01T12:34:56Z",
                    desired=12_345,
                    reason="scale_down_delay",
                    detail="the wanted number fell 12 s ago; workers are given up after 600 s of needing fewer",
                    inputs=DecisionInputs(),
                )
            ],
            "last": {"eu-central": point(1.234)},
            **changes,
        }  # type: ignore[arg-type]
    )


def test_all_headers_and_figures_stand_whole_in_80_columns() -> None:
    text = rendered(picture(seen()))
    assert max(map(len, text.splitlines())) <= 80
    words = re.split(r"\s+", text)
    assert set(HEADERS) <= set(words)
    figures = {"eu-central", "12345/1", "1456", "12350", "123456", "1.23/12.35"}
    assert figures | {"eu-7f9c6d5b4-x2k8p", "crash_looping"} <= set(words)
    assert "and 12344 more" in text
    assert "12:34:56" in words
    assert "scale_down_delay" in words


def test_what_is_wrong_and_what_to_do_stand_below_the_table() -> None:
    finding = FindingView(id="redis", state="unknown", cause="Redis did not answer", hint="Look at Redis.")
    us = region_view("us", ready=None, live=None, slots=None).model_copy(update={"findings": [finding]})
    text = rendered(picture(seen(regions=[region_view("eu-central"), us])))
    assert "us is unknown: Redis did not answer" in text
    assert "-> Look at Redis." in text
    assert "eu-central is" not in text


def test_the_last_incidents_are_told_with_their_day() -> None:
    lost = IncidentView(
        at="2026-11-28T02:13:05.100+00:00",
        region="eu",
        kind="worker_lost",
        state="degraded",
        text="eu-1 killed by signal 9, 2 calls moved in 1.4 s",
    )
    text = rendered(picture(seen(incidents=[lost])))
    assert "11-28 02:13:05" in text
    assert "eu-1 killed by signal 9, 2 calls moved" in text


def test_workers_and_calls_on_the_way_are_told_where_there_are_some() -> None:
    view = region_view("eu").model_copy(update={"starting": 2, "draining": 0, "moving": 3})
    assert "eu: 2 starting, 3 calls on their way to another" in rendered(picture(seen(regions=[view])))


def test_who_waits_and_that_calls_are_not_known() -> None:
    assert "Waiting: call-1 (3 s)" in rendered(picture(seen()))
    lost_it = CallView(room="call-1", region="us", state="waiting", since_s=99.0, waiting_s=1.6)
    assert "Waiting: call-1 (2 s)" in rendered(picture(seen(calls=[lost_it])))
    text = rendered(picture(seen(calls=None, decisions=[])))
    assert "The calls are not known now." in text
    assert "Last decisions" not in text


def test_a_long_name_of_a_region_is_folded_and_costs_no_header() -> None:
    text = rendered(picture(Seen([region_view("a-region-with-a-name-of-32-letter")], [], [], {})))
    assert set(HEADERS) <= set(text.split())
    assert "a-region-wi" in text


def test_a_region_with_several_pools_has_a_row_of_sums_and_its_canary_says_why() -> None:
    stable, canary, us = (region_view(name) for name in ("eu-sales-v1", "eu-sales-v2", "us"))
    pools = [
        stable.model_copy(update={"place": "eu", "agent": "sales", "version": "v1", "live": 7}),
        canary.model_copy(update={"place": "eu", "agent": "sales", "version": "v2", "live": 3}),
        us.model_copy(update={"place": "us"}),
    ]
    tried = CanaryView(
        region="eu",
        agent="sales",
        version="v2",
        stable="v1",
        pool="eu-sales-v2",
        state="rolled_back",
        weight=0,
        reason="4 of 4 turns without an answer",
        calls=2,
        min_calls=50,
        duration_s=600,
    )
    text = rendered(picture(seen(regions=pools, last={}, canaries=[tried])))
    assert max(map(len, text.splitlines())) <= 80
    (total,) = (line for line in text.splitlines() if "2 pools" in line)
    assert "eu," in total or "eu, 2 pools" in text
    assert " 10 " in total
    assert "us, " not in text, "it is one pool"
    words = " ".join(text.split())
    assert "rolled back" in words
    assert "2/50" in words


def test_the_sum_of_something_unknown_is_unknown() -> None:
    views = [region_view(name).model_copy(update={"place": "eu", "agent": name}) for name in ("eu-a", "eu-b")]
    (total,) = totals([*views, region_view("us").model_copy(update={"place": "us"})])
    assert (total.region, total.pools, total.live) == ("eu", ["eu-a", "eu-b"], 2 * (views[0].live or 0))
    unknown = views[0].model_copy(update={"live": None, "status": "unknown"})
    (total,) = totals([unknown, views[1]])
    assert (total.live, total.status) == (None, "unknown")
    assert total.ready == 2 * (views[1].ready or 0)

"""Every alert in Prometheus's own test tool: once it fires, once it must not."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from voicefleet.contract.errors import MissingPartError
from voicefleet.dashboards.alerting.alerts import ALERTS
from voicefleet.dashboards.alerting.rules import burn_alert_name, page_alerts
from voicefleet.dashboards.alerting.slo import BURNS, OBJECTIVES, Objective, seconds
from voicefleet.dashboards.generate import RULES, chart_files
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack.find import find_prometheus

pytestmark = pytest.mark.integration

EU = 'region="eu"'
Series = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """Input series of one alert: as they are when it fires, and as they are when all is well."""

    fires: Series
    quiet: Series
    at: str = "40m"
    labels: str = ""
    more: tuple[Series, ...] = field(default=())
    """Other states in which it must not fire."""


def rates(name: str, per_minute: float, **labels: str) -> dict[str, str]:
    text = ",".join(f'{k}="{v}"' for k, v in {"region": "eu", **labels}.items())
    return {f"{name}{{{text}}}": f"0+{per_minute}x{{n}}"}


def level(name: str, value: float, **labels: str) -> dict[str, str]:
    text = ",".join(f'{k}="{v}"' for k, v in {"region": "eu", **labels}.items())
    return {f"{name}{{{text}}}": f"{value}x{{n}}"}


def histogram(name: str, good: float, bad: float, edge: str, **labels: str) -> dict[str, str]:
    """`good` events a minute up to `edge`, `bad` ones above it."""
    return {
        **rates(f"{name}_bucket", good, **labels, le=edge),
        **rates(f"{name}_bucket", good + bad, **labels, le="+Inf"),
        **rates(f"{name}_count", good + bad, **labels),
    }


def objective_series(name: str, good: float, bad: float) -> dict[str, str]:
    """`good` and `bad` events a minute of an objective."""
    if name.startswith("ttfa"):
        edge = {"ttfa_1500ms": "1.5", "ttfa_800ms": "0.8"}[name]
        # One half is late, the other gets an apology, or nothing.
        return {
            **histogram("voicefleet_turn_ttfa_seconds", good, bad / 2, edge, tier="a"),
            **rates("voicefleet_turns_total", bad / 2, outcome="error"),
        }
    if name == "answer":
        return {
            **rates("voicefleet_turns_total", good + bad / 2, outcome="completed"),
            **rates("voicefleet_turns_total", bad / 2, outcome="error"),
            **rates("voicefleet_turns_total", 5000, outcome="session_closed"),
            **rates("voicefleet_apologies_total", bad / 2, reason="cut_short"),
        }
    if name == "response":
        return {
            **rates("voicefleet_responses_total", good / 2, result="ok", tier="a"),
            **rates("voicefleet_responses_total", good / 2, result="interrupted", tier="a"),
            **rates("voicefleet_responses_total", bad / 2, result="asked_again", tier="a"),
            **rates("voicefleet_responses_total", bad / 2, result="hung_up", tier="b"),
        }
    if name == "admission":
        return {
            **rates("voicefleet_call_requests_total", good, result="ticket"),
            **rates("voicefleet_call_requests_total", bad / 2, result="full"),
            **rates("voicefleet_call_requests_total", bad / 2, result="limited"),
        }
    if name == "greeting":
        return histogram("voicefleet_greeting_seconds", good, bad, "3.0", result="ok")
    if name == "call_setup":
        # As another scraper writes it.
        return histogram("voicefleet_call_setup_seconds", good, bad, "3", result="ok")
    if name == "wait":
        return {
            **rates("voicefleet_call_setup_seconds_count", good + bad, result="ok"),
            **histogram("voicefleet_call_wait_seconds", 0, bad / 2, "2.0"),
            **rates("voicefleet_calls_abandoned_total", bad / 2),
        }
    assert name == "mos"
    return histogram("voicefleet_call_mos_estimated", bad, good, "3.6", direction="inbound")


def answers(dependency: str, value: int, **labels: str) -> dict[str, str]:
    return level("voicefleet_dependency_up", value, dependency=dependency, **labels)


LIVEKIT_AWAY, REDIS_AWAY = answers("livekit", 0), answers("redis", 0)

CAUSES: dict[str, Case] = {
    "VoicefleetCanaryRolledBack": Case(
        {
            **level("voicefleet_canary_state", 1, version="v2", state="rolled_back"),
            **level("voicefleet_canary_state", 0, version="v2", state="running"),
        },
        {
            **level("voicefleet_canary_state", 0, version="v2", state="rolled_back"),
            **level("voicefleet_canary_state", 1, version="v2", state="promoted"),
        },
        labels=',version="v2"',
    ),
    "VoicefleetDependencyDown": Case(
        REDIS_AWAY,
        answers("redis", 1),
        # One of two controllers does not reach it: that is its own trouble.
        more=(answers("livekit", 0, instance="a") | answers("livekit", 1, instance="b"),),
    ),
    "VoicefleetCallsWaiting": Case(
        level("voicefleet_call_oldest_wait_seconds", 21),
        # Somebody always waits, and none of them long.
        level("voicefleet_call_oldest_wait_seconds", 19) | level("voicefleet_calls_waiting", 2),
        more=(
            level("voicefleet_call_oldest_wait_seconds", 60) | LIVEKIT_AWAY,
            level("voicefleet_call_oldest_wait_seconds", 60) | REDIS_AWAY,
        ),
    ),
    "VoicefleetCallsSilent": Case(
        level("voicefleet_region_calls_silent", 1),
        level("voicefleet_region_calls_silent", 0),
        more=(level("voicefleet_region_calls_silent", 1) | LIVEKIT_AWAY,),
    ),
    "VoicefleetRegionNoWorkers": Case(
        {**level("voicefleet_workers", 0, state="ready"), **level("voicefleet_scaler_min_workers", 1)},
        {**level("voicefleet_workers", 1, state="ready"), **level("voicefleet_scaler_min_workers", 1)},
        more=(
            {
                **level("voicefleet_workers", 0, state="ready"),
                **level("voicefleet_scaler_min_workers", 0),
                **level("voicefleet_calls_waiting", 0),
            },
            {
                **level("voicefleet_workers", 0, state="ready"),
                **level("voicefleet_scaler_min_workers", 1),
                **REDIS_AWAY,
            },
            # Who cannot read the reports does not say how many workers there are.
            level("voicefleet_scaler_min_workers", 1),
        ),
    ),
    "VoicefleetScalerAtMax": Case(
        {
            **level("voicefleet_workers", 4, state="ready"),
            **level("voicefleet_scaler_max_workers", 4),
            **level("voicefleet_calls_waiting", 1),
        },
        {
            **level("voicefleet_workers", 4, state="ready"),
            **level("voicefleet_scaler_max_workers", 4),
            **level("voicefleet_calls_waiting", 0),
        },
        more=(
            # As many as may be are wanted, and do not start: raising the maximum helps nobody.
            {
                **level("voicefleet_scaler_desired_workers", 4),
                **level("voicefleet_workers", 0, state="ready"),
                **level("voicefleet_scaler_max_workers", 4),
                **level("voicefleet_calls_waiting", 1),
            },
        ),
    ),
    "VoicefleetScalerStale": Case(
        level("voicefleet_scaler_last_success_timestamp_seconds", 60),
        {f"voicefleet_scaler_last_success_timestamp_seconds{{{EU}}}": "0+60x{n}"},
        more=(level("voicefleet_scaler_last_success_timestamp_seconds", 60) | REDIS_AWAY,),
    ),
    "VoicefleetControllerMissing": Case(
        # Of one cluster, while that of another is there.
        {'voicefleet_leader{cluster="a"}': "1x10", 'voicefleet_leader{cluster="b"}': "1x{n}"},
        {'voicefleet_leader{cluster="a"}': "1x{n}", 'voicefleet_leader{cluster="b"}': "0x{n}"},
    ),
    "VoicefleetScalerFlapping": Case(
        {f"voicefleet_scaler_desired_workers{{{EU}}}": " ".join(["1 2"] * 60)},
        level("voicefleet_scaler_desired_workers", 2),
        "90m",
    ),
    "VoicefleetHeadroomLow": Case(
        {**level("voicefleet_calls_active", 95), **level("voicefleet_slots", 100)},
        {**level("voicefleet_calls_active", 50), **level("voicefleet_slots", 100)},
        more=({**level("voicefleet_calls_active", 0), **level("voicefleet_slots", 0)},),
    ),
    "VoicefleetWorkerStartupSlow": Case(
        histogram("voicefleet_scaler_startup_seconds", 0, 2, "60.0", phase="total")
        | rates("voicefleet_scaler_startup_seconds_bucket", 2, phase="total", le="120.0"),
        histogram("voicefleet_scaler_startup_seconds", 2, 0, "60.0", phase="total")
        | rates("voicefleet_scaler_startup_seconds_bucket", 2, phase="total", le="120.0"),
    ),
    "VoicefleetWorkersDoNotStart": Case(
        level("voicefleet_instances", 1, state="crash_looping"),
        {
            **level("voicefleet_instances", 0, state="crash_looping"),
            **level("voicefleet_instances", 3, state="pulling"),
        },
    ),
    "VoicefleetWorkersUnschedulable": Case(
        level("voicefleet_instances", 1, state="unschedulable"),
        level("voicefleet_instances", 0, state="unschedulable"),
    ),
    "VoicefleetNoLeader": Case(
        {'voicefleet_leader{instance="a"}': "0x{n}", 'voicefleet_leader{instance="b"}': "0x{n}"},
        {'voicefleet_leader{instance="a"}': "0x{n}", 'voicefleet_leader{instance="b"}': "1x{n}"},
        more=({'voicefleet_leader{instance="a"}': "0x{n}"} | answers("kubernetes", 0),),
    ),
    "VoicefleetDrainStuck": Case(
        level("voicefleet_drain_oldest_seconds", 5000), level("voicefleet_drain_oldest_seconds", 3000)
    ),
    "VoicefleetTTFATelemetryMissing": Case(
        {**level("voicefleet_calls_active", 3), **level("voicefleet_turn_ttfa_seconds_count", 9)},
        {**level("voicefleet_calls_active", 3), **rates("voicefleet_turn_ttfa_seconds_count", 9)},
        more=({**level("voicefleet_calls_active", 0), **level("voicefleet_turn_ttfa_seconds_count", 9)},),
    ),
    "VoicefleetBargeInSlow": Case(
        histogram("voicefleet_barge_in_stop_seconds", 0, 2, "1.0")
        | rates("voicefleet_barge_in_stop_seconds_bucket", 2, le="2.0"),
        histogram("voicefleet_barge_in_stop_seconds", 2, 0, "1.0"),
        more=(
            histogram("voicefleet_barge_in_stop_seconds", 0, 0.1, "1.0")
            | rates("voicefleet_barge_in_stop_seconds_bucket", 0.1, le="2.0"),
        ),
    ),
    "VoicefleetMOSLow": Case(
        {
            **rates("voicefleet_call_mos_estimated_sum", 30, direction="inbound"),
            **rates("voicefleet_call_mos_estimated_count", 10, direction="inbound"),
        },
        {
            **rates("voicefleet_call_mos_estimated_sum", 43, direction="inbound"),
            **rates("voicefleet_call_mos_estimated_count", 10, direction="inbound"),
        },
    ),
    "VoicefleetLiveKitNodeLoad": Case(
        rates("livekit_pubsubtime_ms_bucket", 0, direction="subscribe", le="1000")
        | rates("livekit_pubsubtime_ms_bucket", 90, direction="subscribe", le="5000")
        | rates("livekit_pubsubtime_ms_bucket", 90, direction="subscribe", le="+Inf"),
        rates("livekit_pubsubtime_ms_bucket", 90, direction="subscribe", le="200")
        | rates("livekit_pubsubtime_ms_bucket", 90, direction="subscribe", le="+Inf"),
    ),
    "VoicefleetProviderErrors": Case(
        {
            **rates("voicefleet_provider_failures_total", 2, stage="llm", kind="refused"),
            **rates("voicefleet_turns_total", 20, outcome="completed"),
        },
        {
            **rates("voicefleet_provider_failures_total", 9, stage="llm", kind="timeout"),
            **rates("voicefleet_turns_total", 20, outcome="completed"),
        },
    ),
    "VoicefleetProviderTimeouts": Case(
        {
            **rates("voicefleet_provider_failures_total", 2, stage="llm", kind="timeout"),
            **rates("voicefleet_turns_total", 20, outcome="completed"),
        },
        {
            **rates("voicefleet_provider_failures_total", 0.2, stage="llm", kind="timeout"),
            **rates("voicefleet_turns_total", 20, outcome="completed"),
        },
    ),
    "VoicefleetCallsLimited": Case(
        rates("voicefleet_call_requests_total", 3, result="limited"),
        rates("voicefleet_call_requests_total", 1, result="limited"),
        more=(rates("voicefleet_call_requests_total", 30, result="ticket"),),
    ),
    "VoicefleetStateUnknown": Case(
        rates("voicefleet_observe_failures_total", 30, source="queue"),
        rates("voicefleet_observe_failures_total", 1, source="queue"),
        more=(
            rates("voicefleet_observe_failures_total", 30, source="queue") | REDIS_AWAY,
            # Over for two minutes.
            {f'voicefleet_observe_failures_total{{{EU},source="queue"}}': "0+30x38 1140x{n}"},
        ),
    ),
    "VoicefleetReportsLost": Case(
        rates("voicefleet_report_failures_total", 30),
        rates("voicefleet_report_failures_total", 1),
        more=(rates("voicefleet_report_failures_total", 30) | REDIS_AWAY,),
    ),
    "VoicefleetCallsLosingJobs": Case(
        rates("voicefleet_calls_recovered_total", 1, reason="job_ended"),
        rates("voicefleet_calls_recovered_total", 0.1, reason="job_ended"),
    ),
    "VoicefleetHandoffsFailing": Case(
        rates("voicefleet_calls_handed_off_total", 1, result="failed"),
        rates("voicefleet_calls_handed_off_total", 1, result="done"),
    ),
    "VoicefleetCallEventsLate": Case(
        level("voicefleet_call_events_oldest_seconds", 700, receiver="crm"),
        level("voicefleet_call_events_oldest_seconds", 500, receiver="crm"),
    ),
    "VoicefleetTracesLost": Case(
        rates("voicefleet_spans_total", 5, result="failed"), rates("voicefleet_spans_total", 5, result="sent")
    ),
}


def promtool(*arguments: str | Path) -> str:
    """Run it; where it is not installed, skip (in CI: fail)."""
    try:
        program = find_prometheus().path.with_name("promtool")
    except MissingPartError as error:
        if environment().get("CI"):
            raise
        pytest.skip(f"{error} Or run `make setup` as root.")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout


def check(tmp_path: Path, tests: Sequence[Mapping[str, Any]], every: str = "1m", only: str = "") -> None:
    """Run `tests`; with `only` the rules of that objective alone, since three days of all of them take minutes."""
    (tmp_path / RULES).write_text(chart_files()[RULES])
    if only:
        rules = yaml.safe_load((tmp_path / RULES).read_text())
        for group in rules["groups"]:
            group["rules"] = [rule for rule in group["rules"] if _concerns(rule, only)]
        rules["groups"] = [group for group in rules["groups"] if group["rules"]]
        (tmp_path / RULES).write_text(yaml.safe_dump(rules))
    file = tmp_path / "test.yaml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(tmp_path / RULES)], "evaluation_interval": every, "tests": tests})
    )
    promtool("test", "rules", file)


def _concerns(rule: Mapping[str, Any], objective: str) -> bool:
    """A recording for every objective, or one of this one, or its alert."""
    if "record" in rule:
        return bool(rule.get("labels", {}).get("slo", objective) == objective)
    return f'slo="{objective}"' in rule["expr"]


def state(
    alert: str, series: Series, *, fires: bool, at: str, step: str, steps: int, labels: str = ""
) -> dict[str, Any]:
    """That `alert` fires at `at`, or does not."""
    firing = f'count(ALERTS{{alertname="{alert}",alertstate="firing"{labels}}})'
    return {
        "interval": step,
        "input_series": [{"series": s, "values": values.format(n=steps)} for s, values in series.items()],
        "promql_expr_test": [
            {"expr": firing, "eval_time": at, "exp_samples": [{"labels": "{}", "value": 1}] if fires else []}
        ],
    }


def test_kubernetes_away_is_a_warning_that_names_it(tmp_path: Path) -> None:
    """Calls go on without it."""
    labels = ',severity="{}",dependency="kubernetes"'
    common: dict[str, Any] = {"at": "5m", "step": "1m", "steps": 30}
    name, away = "VoicefleetDependencyDown", answers("kubernetes", 0)
    check(
        tmp_path,
        [
            state(name, away, fires=True, labels=labels.format("warning"), **common),
            state(name, away, fires=False, labels=labels.format("critical"), **common),
            state(name, answers("kubernetes", 1), fires=False, labels=labels.format("warning"), **common),
        ],
    )


def test_the_rules_are_valid(tmp_path: Path) -> None:
    (tmp_path / RULES).write_text(chart_files()[RULES])
    promtool("check", "rules", tmp_path / RULES)


def test_every_alert_has_its_cases() -> None:
    assert set(CAUSES) == {alert.name for alert in ALERTS}


@pytest.mark.parametrize("name", sorted(CAUSES))
def test_a_cause_fires_and_is_quiet(name: str, tmp_path: Path) -> None:
    case = CAUSES[name]
    common = {"at": case.at, "step": "1m", "steps": 120, "labels": case.labels}
    tests = [state(name, case.fires, fires=True, **common)]  # type: ignore[arg-type]
    tests += [state(name, s, fires=False, **common) for s in (case.quiet, *case.more)]  # type: ignore[arg-type]
    check(tmp_path, tests)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: o.name)
def test_a_budget_burns_and_does_not(objective: Objective, tmp_path: Path) -> None:
    """Every pair of windows in one run of three days and more, each state in a region of its own."""
    series: dict[str, str] = {}
    firing = []
    name, least_s = burn_alert_name(objective), max(seconds(b.long) + seconds(b.hold) for b in BURNS)
    steps = least_s // 300 + 4
    for burn in BURNS:
        # Evaluated every 5 minutes events are counted as one in twenty: many, so that none of these states is rare, in
        # whatever order promtool takes the groups.
        bad = burn.factor * objective.budget * 20_000
        for state_, good_events, bad_events in (
            ("fast", 20_000 - 1.1 * bad, 1.1 * bad),
            ("slow", 20_000 - 0.9 * bad, 0.9 * bad),
            # Everything is bad, and there is next to nothing.
            ("rare", 0.0, 0.002),
        ):
            region = f"{state_}-{burn.long}"
            made = objective_series(objective.name, good_events, bad_events)
            series |= {key.replace(EU, f'region="{region}"'): values for key, values in made.items()}
            labels = f'alertname="{name}",alertstate="firing",long="{burn.long}",region="{region}"'
            firing.append((f"count(ALERTS{{{labels}}})", state_ == "fast"))
    check(
        tmp_path,
        [
            {
                "interval": "5m",
                "input_series": [{"series": s, "values": v.format(n=steps + 2)} for s, v in series.items()],
                "promql_expr_test": [
                    {
                        "expr": expr,
                        "eval_time": f"{steps * 5}m",
                        "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
                    }
                    for expr, fires in firing
                ],
            }
        ],
        every="5m",
        only=objective.name,
    )


STEP = "15s"
"""As the chart has Prometheus scrape."""


def samples(*parts: tuple[float, float], before: int = 40) -> str:
    """A counter's samples, one every 15 s: `before` ones without an event, then each (minutes, events a minute)."""
    values, now = [0.0] * before, 0.0
    for minutes, a_minute in parts:
        for _ in range(round(minutes * 4)):
            now += a_minute / 4
            values.append(now)
    return " ".join(f"{value:g}" for value in values)


def turns(*parts: tuple[float, float, float]) -> dict[str, str]:
    """Series of (minutes, good turns a minute, bad ones a minute), after ten minutes of nothing."""
    bad = [(minutes, failed) for minutes, _, failed in parts]
    return {
        f'voicefleet_turns_total{{{EU},outcome="completed"}}': samples(*((m, good) for m, good, _ in parts)),
        f'voicefleet_turns_total{{{EU},outcome="error"}}': samples(*bad),
        f'voicefleet_apologies_total{{{EU},reason="greeting"}}': samples(*((m, 0) for m, _, _ in parts)),
        f'voicefleet_apologies_total{{{EU},reason="cut_short"}}': samples(*((m, 0) for m, _, _ in parts)),
        f'voicefleet_provider_failures_total{{{EU},stage="llm",kind="timeout"}}': samples(*bad),
        f'voicefleet_provider_failures_total{{{EU},stage="tts",kind="refused"}}': samples(*((m, 0.1) for m, _ in bad)),
    }


def firing(name: str, at_s: float, fires: bool) -> dict[str, Any]:
    """Whether `name` fires `at_s` seconds after the first ten minutes, in any of its windows."""
    expr = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) > bool 0'
    samples = [{"labels": "{}", "value": 1}] if fires else []
    return {"expr": expr, "eval_time": f"{600 + round(at_s)}s", "exp_samples": samples}


TURNS, CALLS = "VoicefleetTurnsFailing", "VoicefleetCallsRefused"


@pytest.mark.parametrize(
    ("what", "series", "moments"),
    [
        ("all hang", turns((5, 20, 0), (3, 0, 8), (4, 20, 0)), {290: False, 390: True, 470: True, 540: False}),
        ("one half fails", turns((5, 20, 0), (5, 10, 10), (2, 20, 0)), {290: False, 420: True, 670: False}),
        ("a twentieth fails", turns((15, 20, 0), (15, 19, 1.2), (5, 20, 0)), {890: False, 1500: True, 2010: False}),
        ("all fail for half a minute", turns((5, 20, 0), (0.5, 0, 6), (9.5, 20, 0)), {390: False, 600: False}),
        ("one in a hundred fails", turns((30, 99, 1)), {900: False, 1790: False}),
        ("one caller in a quiet night", turns((2, 0, 1.5), (10, 0, 0)), {110: False, 400: False}),
    ],
)
def test_failing_turns_page(what: str, series: Series, moments: Mapping[float, bool], tmp_path: Path) -> None:
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    asked = [firing(TURNS, *moment) for moment in moments.items()]
    check(tmp_path, [{"interval": STEP, "input_series": inputs, "promql_expr_test": asked}], every=STEP)


def test_the_page_names_the_stage_and_how_it_fails(tmp_path: Path) -> None:
    series = turns((5, 20, 0), (3, 0, 8))
    alert = next(rule for rule in page_alerts() if rule["alert"] == TURNS and rule["labels"]["window"] == "2m")
    told = {
        **alert["annotations"],
        "summary": "eu: 100% of turns get no answer",
        "description": alert["annotations"]["description"].partition("{{")[0]
        + "Most failures are of llm, timeout (18 in 5 minutes).",
    }
    expected = {"exp_labels": {**alert["labels"], "region": "eu", "page": "turns"}, "exp_annotations": told}
    test = {
        "interval": STEP,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": "1020s", "alertname": TURNS, "exp_alerts": [expected]}],
    }
    check(tmp_path, [test], every=STEP)


@pytest.mark.parametrize(("result", "pages"), [("full", True), ("unavailable", True), ("limited", False)])
def test_refused_callers_page(result: str, pages: bool, tmp_path: Path) -> None:
    series = {
        f'voicefleet_call_requests_total{{{EU},result="ticket"}}': samples((5, 10), (3, 2), (2, 1)),
        f'voicefleet_call_requests_total{{{EU},result="{result}"}}': samples((5, 0), (3, 10), (2, 0)),
    }
    if result == "limited":
        series[f'voicefleet_call_requests_total{{{EU},result="full"}}'] = samples((10, 0))
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    asked = [firing(CALLS, *moment) for moment in ((290, False), (400, pages), (530, False))]
    check(tmp_path, [{"interval": STEP, "input_series": inputs, "promql_expr_test": asked}], every=STEP)


def test_the_first_events_of_a_young_fleet_are_counted_and_not_extrapolated(tmp_path: Path) -> None:
    """Six calls of which two waited, in the first minutes of all: an hour's rate of that would be hundreds."""
    name = burn_alert_name(next(o for o in OBJECTIVES if o.name == "wait"))
    series = {
        f'voicefleet_call_setup_seconds_count{{{EU},result="ok"}}': samples((2, 3), (18, 0), before=1),
        f'voicefleet_call_wait_seconds_bucket{{{EU},le="2.0"}}': samples((20, 0), before=1),
        f"voicefleet_call_wait_seconds_count{{{EU}}}": samples((2, 1), (18, 0), before=1),
        f"voicefleet_calls_abandoned_total{{{EU}}}": samples((20, 0), before=1),
    }
    quiet = {"expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})', "exp_samples": []}
    test = {
        "interval": STEP,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{**quiet, "eval_time": f"{minute}m"} for minute in (4, 6, 8, 12, 18)],
    }
    check(tmp_path, [test], every=STEP, only="wait")


def test_a_budget_stops_burning_a_minute_after_the_remedy(tmp_path: Path) -> None:
    name = burn_alert_name(next(o for o in OBJECTIVES if o.name == "answer"))
    series = {
        f'voicefleet_turns_total{{{EU},outcome="completed"}}': samples((5, 20), (6, 0), (5, 20)),
        f'voicefleet_turns_total{{{EU},outcome="error"}}': samples((5, 0), (6, 20), (5, 0)),
        f'voicefleet_apologies_total{{{EU},reason="cut_short"}}': samples((16, 0)),
    }
    test = {
        "interval": STEP,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [firing(name, *moment) for moment in ((290, False), (650, True), (735, False))],
    }
    check(tmp_path, [test], every=STEP, only="answer")

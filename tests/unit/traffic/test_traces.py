"""Traces: what is a call is read, what is none is refused by its line and reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from voicefleet.contract.errors import ConfigError
from voicefleet.traffic.durations import CallLaw, ExponentialLaw, FixedLaw
from voicefleet.traffic.profiles import PROFILES, generate, known_traffic
from voicefleet.traffic.traces import Trace, parse_csv, parse_prometheus, read_trace

pytestmark = pytest.mark.unit

LAW = CallLaw()


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def csv(*lines: str) -> Trace:
    return parse_csv(lines, source="calls.csv", law=LAW, rng=rng())


def test_calls_with_their_durations() -> None:
    trace = csv("# a comment", "arrival_s,duration_s", "", "0,12.5", "3.25, 60")
    assert trace.arrivals_s.tolist() == [0.0, 3.25]
    assert trace.durations_s.tolist() == [12.5, 60.0]
    assert (trace.name, trace.origin) == ("calls", "calls.csv")


def test_arrivals_alone_take_durations_from_the_law() -> None:
    trace = csv("arrival_s", "0", "5")
    assert trace.durations_s.shape == (2,)
    assert (trace.durations_s > 0).all()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("-1,5", "arrival_s is negative"),
        ("1,-5", "duration_s is negative"),
        ("1,0", "duration_s is 0"),
        ("0.5,5", "arrival_s is before the one above it (1)"),
        (",5", "arrival_s is missing"),
        ("2,", "duration_s is missing"),
        ("2", "1 values where the header names 2"),
        ("2,5,6", "3 values where the header names 2"),
        ("two,5", "arrival_s is no number"),
        ("nan,5", "arrival_s is not finite"),
        ("2,inf", "duration_s is not finite"),
        ("1700000000,5", "arrival_s is above 316224000 s"),
        ("2,9000000", "duration_s is above 604800 s"),
    ],
)
def test_a_line_that_is_no_call_is_named_with_its_reason(line: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        csv("arrival_s,duration_s", "1,30", "# comments count as lines", line)
    assert caught.value.field == "calls.csv:4"
    assert reason in caught.value.what


@pytest.mark.parametrize("lines", [[], ["arrival_s,duration_s"], ["# only a comment"]])
def test_a_trace_without_calls_is_refused(lines: list[str]) -> None:
    with pytest.raises(ConfigError, match="no call in it"):
        csv(*lines)


def test_another_header_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"calls\.csv:1 = 'start,length': not the header"):
        csv("start,length", "0,5")


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_trace(tmp_path / "none.csv", law=LAW, rng=rng())
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not text"):
        read_trace(tmp_path / "bytes.csv", law=LAW, rng=rng())


def answer(*series: list[tuple[float, str]]) -> str:
    return json.dumps(
        {"status": "success", "data": {"resultType": "matrix", "result": [{"values": s} for s in series]}}
    )


def test_counts_of_prometheus_become_calls_of_their_steps() -> None:
    text = answer([(60, "3"), (120, "0"), (180, "2")], [(60, "1"), (120, "0.5"), (180, "0.5")])
    trace = parse_prometheus(text, source="prom.json", law=LAW, rng=rng())
    steps = np.floor(trace.arrivals_s / 60).astype(int).tolist()
    assert steps == [0, 0, 0, 0, 2, 2, 2]  # fractions are carried on until they make a call


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "no answer of a Prometheus range query"),
        ("not json", "not JSON at line 1"),
        (answer([(60, "NaN"), (120, "1")]), "not a count of calls"),
        (answer([(60, "-1"), (120, "1")]), "not a count of calls"),
        (answer([(60, "1"), (120, "1"), (600, "1")]), "no data for 420 s: unknown is not zero"),
        (answer([(60, "1")]), "fewer than two steps"),
        (answer([(60, "0"), (120, "0")]), "no call in it"),
    ],
)
def test_an_answer_that_is_no_trace_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_prometheus(text, source="prom.json", law=LAW, rng=rng())


@pytest.mark.parametrize("name", known_traffic())
def test_generators_keep_the_mean_and_repeat_themselves(name: str) -> None:
    trace = generate(name, mean_live=60, calls=20_000, law=LAW, seed=5)
    again = generate(name, mean_live=60, calls=20_000, law=LAW, seed=5)
    assert np.array_equal(trace.arrivals_s, again.arrivals_s)
    assert np.array_equal(trace.durations_s, again.durations_s)
    assert (np.diff(trace.arrivals_s) >= 0).all()
    assert trace.mean_live == pytest.approx(60, rel=0.12)
    assert len(trace) == pytest.approx(20_000, rel=0.12)


def test_generators_differ_as_their_names_say() -> None:
    def spread(name: str, step_s: float) -> float:
        """Variance over mean of the counts of `step_s`."""
        trace = generate(name, mean_live=120, calls=30_000, law=LAW, seed=2)
        counts = np.bincount((trace.arrivals_s / step_s).astype(int))[:-1]
        return float(counts.var() / counts.mean())

    assert spread("stationary", 1800) == pytest.approx(1, abs=0.6)
    assert spread("gamma", 1800) > 20
    assert spread("batches", 10) > 1.8
    assert spread("diurnal", 1800) > 20
    assert spread("burst", 300) > 2.5
    assert spread("stationary", 10) == pytest.approx(1, abs=0.1)


def test_campaigns_are_announced_where_they_are() -> None:
    trace = generate("campaign", mean_live=120, calls=20_000, law=LAW, seed=2)
    assert trace.campaigns
    start_s, length_s, rate = trace.campaigns[0]
    inside = ((trace.arrivals_s >= start_s) & (trace.arrivals_s < start_s + length_s)).sum() / length_s
    before = ((trace.arrivals_s >= start_s - 1800) & (trace.arrivals_s < start_s)).sum() / 1800
    assert inside - before == pytest.approx(rate, rel=0.25)


def test_stretching_keeps_calls_and_moves_the_mean() -> None:
    trace = generate("stationary", mean_live=60, calls=5_000, law=LAW, seed=1)
    slow = trace.stretched(15)
    assert slow.mean_live == pytest.approx(15)
    assert np.array_equal(slow.durations_s, trace.durations_s)


def test_bad_wishes_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="Did you mean diurnal"):
        generate("diurnall", mean_live=60, calls=10, law=LAW, seed=1)
    with pytest.raises(ConfigError, match="mean_live"):
        generate("stationary", mean_live=0, calls=10, law=LAW, seed=1)
    with pytest.raises(ConfigError, match="calls"):
        generate("stationary", mean_live=1, calls=0, law=LAW, seed=1)


def test_the_fitted_law_has_the_shape_of_the_calls_it_was_fitted_to() -> None:
    durations = LAW.draw(200_000, rng())
    assert durations.mean() == pytest.approx(LAW.mean_s, rel=0.02)
    assert np.median(durations) == pytest.approx(112, rel=0.05)  # of the calls: 105
    assert (durations <= 10).mean() == pytest.approx(0.048, abs=0.003)
    body = np.log(durations[durations > 10])
    cut = (np.log(10) - LAW.mu) / LAW.sigma
    assert cut < -2.5  # so that truncation hardly moves the moments
    assert body.mean() == pytest.approx(LAW.mu, abs=0.03)
    assert body.std() == pytest.approx(LAW.sigma, abs=0.03)


def test_laws_of_other_shapes_and_means() -> None:
    assert CallLaw().scaled_to(60).draw(100_000, rng()).mean() == pytest.approx(60, rel=0.03)
    assert ExponentialLaw(60).draw(100_000, rng()).mean() == pytest.approx(60, rel=0.03)
    assert FixedLaw(60).draw(3, rng()).tolist() == [60, 60, 60]
    with pytest.raises(ConfigError, match="mean_s"):
        CallLaw().scaled_to(0)


def test_the_shipped_arrivals_name_their_origin() -> None:
    trace = generate("azure", mean_live=100, calls=1, law=LAW, seed=1)
    assert len(trace) == 19_366
    assert "CC-BY-4.0" in trace.origin
    assert set(PROFILES) < set(known_traffic())

"""What the demo refuses to be told."""

from __future__ import annotations

from typing import Any

import pytest

from voicefleet.contract.errors import ConfigError
from voicefleet.demo.options import DemoOptions, as_pipeline

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "wrong",
    [
        {"calls": 0},
        {"calls": 501},
        {"rate": 0.0},
        {"rate": -1.0},
        {"rate": float("nan")},
        {"rate": float("inf")},
        {"turns": 0},
        {"turns": 13},
        {"slots": 0},
    ],
)
def test_a_number_out_of_bounds_is_named(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigError, match=rf"--{name} = .*must lie between"):
        DemoOptions(**wrong)


def test_the_bounds_themselves_are_in() -> None:
    DemoOptions(calls=1, rate=0.01, turns=1, slots=1)
    DemoOptions(calls=500, rate=50, turns=12, slots=50)


def test_pipelines() -> None:
    assert [as_pipeline(name) for name in ("local", "synthetic", None)] == ["local", "synthetic", None]
    with pytest.raises(ConfigError, match=r"--pipeline = 'nope'.*local or synthetic"):
        as_pipeline("nope")

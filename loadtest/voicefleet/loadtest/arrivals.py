"""When the calls of a scenario come: a shape, its numbers, and the offsets they give. Pure but for a trace's file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.validation import refused
from voicefleet.traffic import profiles, shapes
from voicefleet.traffic.arrivals import Offsets, poisson
from voicefleet.traffic.durations import ExponentialLaw
from voicefleet.traffic.traces import read_trace

MAX_CALLS = 10_000
Rate = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Span = Annotated[float, Field(gt=0, le=7 * 86_400, allow_inf_nan=False)]

_FIELDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "poisson": (("rate",), ("calls", "duration_s")),
    "constant": (("rate",), ("calls", "duration_s")),
    "ramp": (("rate", "to_rate", "duration_s"), ()),
    "step": (("rate", "to_rate", "duration_s"), ("steps",)),
    "spike": (("rate", "duration_s"), ("factor", "at_s", "for_s")),
    "gamma": (("rate", "duration_s"), ("cv", "block_s")),
    "diurnal": (("rate", "duration_s"), ("swing", "day_s")),
    "trace": (("file",), ("speed_up", "calls")),
}
"""Shape -> the fields that it needs, and those it may have."""


class Arrivals(BaseModel):
    """An open loop: a call never waits for the calls before it.

    Attributes:
        shape: of the traffic. `poisson`: independent callers; `constant`: one call after the other at equal distances;
            `ramp`: from `rate` to `to_rate`; `step`: the same in `steps` stairs; `spike`: `factor` times the rate for
            `for_s` from `at_s` on; `gamma`: each `block_s` has a rate of its own, drawn from a gamma law with
            coefficient of variation `cv`; `diurnal`: a day of `day_s` whose rate swings by the share `swing`;
            `trace`: the arrivals of a file, `speed_up` times as fast. All but `constant` and `trace` are Poisson.
        rate: calls per second; the mean one of `gamma` and `diurnal`, the first one of `ramp` and `step`.
        calls, duration_s: how many calls, or for how long they come; one of the two for `poisson` and `constant`.
        file: CSV ``arrival_s``, or the JSON answer of a Prometheus range query; see `voicefleet simulate --trace`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    shape: Literal["poisson", "constant", "ramp", "step", "spike", "gamma", "diurnal", "trace"] = "poisson"
    rate: Rate | None = None
    calls: Annotated[int, Field(ge=1, le=MAX_CALLS)] | None = None
    duration_s: Span | None = None
    to_rate: Rate | None = None
    steps: Annotated[int, Field(ge=2, le=1000)] = 5
    factor: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = 5.0
    at_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    for_s: Span | None = None
    cv: Annotated[float, Field(gt=0, le=3, allow_inf_nan=False)] = 0.3
    block_s: Span | None = None
    swing: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.6
    day_s: Span | None = None
    file: Path | None = None
    speed_up: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)] = 1.0

    @model_validator(mode="after")
    def _fields_of_the_shape(self) -> Self:
        needed, possible = _FIELDS[self.shape]
        for name in needed:
            if getattr(self, name) is None:
                raise refused(f"is needed by the shape {self.shape}", field=name, hint="Add it.")
        for name in sorted(self.model_fields_set - {"shape", *needed, *possible}):
            raise refused(
                f"means nothing in the shape {self.shape}",
                field=name,
                value=getattr(self, name),
                hint=f"Leave it out; {self.shape} has {', '.join((*needed, *possible))}.",
            )
        if "duration_s" in possible and (self.calls is None) == (self.duration_s is None):
            raise refused("needs one of calls and duration_s", hint="Give one of the two.")
        return self

    def offsets(self, seed: int) -> Offsets:
        """Intended starts in seconds, sorted; the same for the same seed.

        Raises:
            ConfigError: the trace cannot be read; no call comes; or more than `MAX_CALLS` do.
        """
        rng = np.random.default_rng(seed)
        found = self._trace(rng) if self.file is not None else self._drawn(rng)
        if not 1 <= found.size <= MAX_CALLS:
            raise ConfigError(
                f"{found.size} calls come of it",
                field="arrivals",
                value=self.shape,
                hint=f"Change the rate or the duration so that 1 to {MAX_CALLS} do.",
            )
        return found

    def _trace(self, rng: np.random.Generator) -> Offsets:
        assert self.file is not None
        # Load tests' calls last as long as their questions take: the durations of a trace are not played.
        trace = read_trace(self.file, law=ExponentialLaw(1.0), rng=rng)
        return trace.arrivals_s[: self.calls] / self.speed_up

    def _drawn(self, rng: np.random.Generator) -> Offsets:
        assert self.rate is not None
        if self.shape == "constant":
            return shapes.evenly(self.rate, self.calls or max(1, math.ceil(self.rate * (self.duration_s or 0.0))))
        if self.calls is not None:
            return poisson(self.rate, self.calls, rng)
        assert self.duration_s is not None
        step_s = min(1.0, self.duration_s / 200)
        times = np.arange(0.0, self.duration_s, step_s)
        offsets = profiles.arrivals_under(self._rates(times, rng), rng, step_s)
        return offsets[offsets < self.duration_s]

    def _rates(self, times: shapes.Rates, rng: np.random.Generator) -> shapes.Rates:
        rate, span_s = self.rate or 0.0, self.duration_s or 0.0
        to_rate = self.to_rate or 0.0
        made: dict[str, Callable[[], Any]] = {
            "poisson": lambda: profiles.stationary(times, rate, rng),
            "ramp": lambda: shapes.ramp(times, rate, to_rate, span_s),
            "step": lambda: shapes.stairs(times, rate, to_rate, self.steps, span_s),
            "spike": lambda: shapes.spike(
                times,
                rate,
                self.factor,
                span_s / 3 if self.at_s is None else self.at_s,
                span_s / 3 if self.for_s is None else self.for_s,
            ),
            "gamma": lambda: profiles.gamma(times, rate, rng, block_s=self.block_s or span_s / 10, cv=self.cv),
            "diurnal": lambda: profiles.diurnal(times, rate, rng, day_s=self.day_s or span_s, swing=self.swing),
        }
        return np.asarray(made[self.shape](), dtype=np.float64)

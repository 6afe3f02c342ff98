"""Conditions on the figures of a run, such as ``ttfa_p95>1.0``. Pure."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from voicefleet.contract.errors import ConfigError
from voicefleet.loadtest.figures import Figures, require_known, unit_of

_FORM = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(>=|<=|>|<)\s*([0-9][0-9.eE+-]*)\s*(ms|s|%)?\s*")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "%": 1e-2}


@dataclass(frozen=True, slots=True)
class Condition:
    """A figure, a comparison and a bound.

    Attributes:
        text: as the user wrote it.
        name: a figure's (see `figures`).
        comparison: ``>``, ``>=``, ``<`` or ``<=``.
        bound: seconds, a count, or a ratio between 0 and 1.
    """

    text: str
    name: str
    comparison: str
    bound: float

    def holds(self, figures: Figures) -> bool | None:
        """Whether it is true of these figures; None: the figure is unknown."""
        value = figures[self.name]
        return None if value is None else _COMPARE[self.comparison](value, self.bound)


def parse_condition(text: str, *, field: str, example: str = "ttfa_p95>1.0") -> Condition:
    """The condition in `text`; bounds may have a unit: ``800ms``, ``1.5s``, ``2%``.

    Raises:
        ConfigError: not of the form NAME>NUMBER, or no such figure; it names `field`.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ConfigError(
            "not a condition",
            field=field,
            value=text,
            hint=f"Write a figure, one of > >= < <=, a number: {example}.",
        )
    name, comparison, number, unit = match[1], match[2], match[3], match[4] or ""
    require_known(name, field=field, value=text)
    if unit and {"%": "ratio", "s": "s", "ms": "s"}[unit] != unit_of(name):
        raise ConfigError(
            f"{name} is not measured in {unit}",
            field=field,
            value=text,
            hint="Give ratios and losses as 0.02 or 2%, times as 0.8, 0.8s or 800ms, others without a unit.",
        )
    try:
        bound = float(number) * _UNITS[unit]
    except ValueError:
        bound = math.nan
    if not math.isfinite(bound):
        raise ConfigError("the bound is no number", field=field, value=text, hint=f"Write for example {example}.")
    return Condition(text.strip(), name, comparison, bound)


@dataclass(frozen=True, slots=True)
class Checked:
    """A condition that must not become true, and what became of it.

    Attributes:
        value: of the figure; None: unknown, which breaks it too: a run that measured nothing has not held.
    """

    condition: Condition
    value: float | None
    broken: bool

    @property
    def sentence(self) -> str:
        """What was found."""
        if self.value is None:
            return f"{self.condition.text}: {self.condition.name} is unknown, nothing was measured"
        return f"{self.condition.text}: {self.condition.name} is {self.value:.4g}"


def check(conditions: tuple[Condition, ...], figures: Figures) -> tuple[Checked, ...]:
    """Look at each condition of `--fail-if`."""
    return tuple(Checked(c, figures[c.name], c.holds(figures) is not False) for c in conditions)

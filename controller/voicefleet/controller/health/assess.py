"""How well a region is: from an observation and the time to a state and its findings. Pure.

Each rule looks at one subject and yields what it finds wrong. What is not known is never taken for zero: a rule about
workers or calls says nothing while these are unknown, and `dependencies` says why they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from voicefleet.contract.health import Finding, Health, health_of
from voicefleet.controller.health.observation import HealthObservation
from voicefleet.controller.health.rules.callers import callers
from voicefleet.controller.health.rules.dependencies import dependencies
from voicefleet.controller.health.rules.ladder import ladder
from voicefleet.controller.health.rules.supply import supply
from voicefleet.controller.health.rules.turns import turns

Rule = Callable[[HealthObservation, float], Iterator[Finding]]

RULES: tuple[Rule, ...] = (dependencies, supply, callers, turns, ladder)
"""Of equally bad findings, those of an earlier rule are told first: they are nearer to the cause."""


def assess(observation: HealthObservation, now_s: float) -> Health:
    """The region's health at `now_s`, on the clock of `FailedRead.since_s`."""
    return health_of(finding for rule in RULES for finding in rule(observation, now_s))

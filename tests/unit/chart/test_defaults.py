"""A value that is left out means the same in the chart, the controller's file and the worker's environment."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from chart.values_table import CHART, value_name
from pydantic import BaseModel

from voicefleet.commands.controller import controller as controller_command
from voicefleet.controller.settings.controller import LimitSettings, Settings
from voicefleet.controller.settings.kubernetes import LeaseSettings
from voicefleet.controller.settings.pool import PoolSettings
from voicefleet.controller.settings.region import RegionSettings
from voicefleet.controller.settings.waiting_message import WaitingMessageSettings
from voicefleet.worker.server.settings import WorkerSettings

pytestmark = pytest.mark.unit

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("", RegionSettings),
    ("pool", PoolSettings),
    ("waitingMessage", WaitingMessageSettings),
    ("controller", Settings),
    ("controller.limits", LimitSettings),
    ("controller.lease", LeaseSettings),
    ("worker", WorkerSettings),
)
"""Where values stand, and the settings that they become."""
OTHER_NAMES = {("worker", "job_memory_limit_mb"): "jobMemoryLimitMiB"}
NOT_THE_SAME = {
    ("", "agent_name"): "empty in the chart: voicefleet, or with devStack and several regions one for each",
    ("", "livekit"): "a section of its own: addresses and Secrets, which have no defaults",
    ("", "pool"): "a section of its own, compared above",
    ("", "waiting_message"): "a section of its own, compared above and below",
    ("controller", "limits"): "a section of its own, compared above",
    ("waitingMessage", "audio"): "a ConfigMap in the chart, a path in the file",
    ("worker", "agent"): "empty in the chart: the worker's own default",
    ("worker", "tiers"): "a section of its own in the chart; the worker's own default when all of it is empty",
    ("worker", "transcript_key"): "the name of a Secret in the chart",
}
"""What both have under one name and what is no default of both, and why."""
NOTHING: tuple[Any, ...] = (None, "", [], {}, ())


def at(path: str) -> Any:
    here: Any = VALUES
    for step in filter(None, path.split(".")):
        here = here[step]
    return here


def both() -> Iterator[tuple[str, str, Any, Any]]:
    """Section, setting, the chart's default and the setting's own, of all that are in both."""
    for section, model in SECTIONS:
        values = at(section)
        for name, field in model.model_fields.items():
            value = OTHER_NAMES.get((section, name), value_name(name))
            if value in values and not field.is_required():
                yield section, name, values[value], as_values(field.get_default(call_default_factory=True))


def as_values(default: Any) -> Any:
    """A section of settings as the chart would have it."""
    if not isinstance(default, BaseModel):
        return default
    return {value_name(name): as_values(below) for name, below in default}


def test_defaults_are_equal_in_the_chart_and_in_the_settings() -> None:
    compared = {
        (section, name): (chart, setting)
        for section, name, chart, setting in both()
        if (section, name) not in NOT_THE_SAME
    }
    different = {
        key: pair
        for key, pair in compared.items()
        if pair[0] != pair[1] and not (pair[0] in NOTHING and (pair[1] in NOTHING or not pair[1]))
    }
    assert different == {}
    assert len(compared) >= 30, sorted(compared)
    assert {section for section, _ in compared} == {section for section, _ in SECTIONS}


def test_what_is_not_compared_is_in_both_and_has_a_reason() -> None:
    there = {(section, name) for section, name, *_ in both()}
    required = {("", "livekit")}
    assert set(NOT_THE_SAME) <= there | required
    assert all(NOT_THE_SAME.values())


def test_callers_who_wait_are_spoken_to_by_default_everywhere() -> None:
    field = RegionSettings.model_fields["waiting_message"]
    assert VALUES["waitingMessage"]["enabled"] is True
    assert field.get_default(call_default_factory=True) == WaitingMessageSettings()


def test_the_controllers_log_level() -> None:
    assert VALUES["controller"]["logLevel"] == inspect.signature(controller_command).parameters["log_level"].default

"""A real Prometheus for tests: on loopback, every second, with our own rules and with exemplars."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from voicefleet.contract.errors import MissingPartError
from voicefleet.dashboards.generate import RULES, chart_files
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack import prometheus
from voicefleet.stack.prometheus import Prometheus

__all__ = ["Prometheus", "prometheus_server"]


@contextlib.asynccontextmanager
async def prometheus_server(directory: Path) -> AsyncIterator[Prometheus]:
    """Run it for the block; where it is not installed, skip (in CI: fail)."""
    rules = yaml.safe_load(chart_files()[RULES])
    for group in rules["groups"]:
        group.pop("interval", None)  # what is asked for soon after a call must have been evaluated by then
    try:
        async with prometheus.prometheus_server(directory, yaml.safe_dump(rules)) as server:
            yield server
    except MissingPartError as error:
        if environment().get("CI"):
            raise
        pytest.skip(f"{error} Or run `make setup` as root.")

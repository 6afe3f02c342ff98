"""The engines by name, and how each of them did."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from enum import StrEnum
from typing import Any

from voicefleet.callers.dense.engine import DenseEngine
from voicefleet.callers.health import GeneratorHealth
from voicefleet.callers.native import NativeEngine
from voicefleet.callers.port import CallerEngine
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.validation import nearest


class Engine(StrEnum):
    """Who holds the calls."""

    GO = "go"
    PYTHON = "python"


@contextlib.asynccontextmanager
async def running_engine(name: str) -> AsyncIterator[CallerEngine]:
    """An engine for the block.

    Raises:
        MissingPartError: it is the Go program, which is not there.
    """
    if name == Engine.PYTHON:
        yield NativeEngine()
        return
    async with DenseEngine() as engine:
        yield engine


def require_engine(name: str) -> None:
    """Refuse a name that is none.

    Raises:
        ConfigError: there is no such engine.
    """
    if name not in list(Engine):
        raise ConfigError("no such engine", field="--engine", value=name, hint=nearest(name, list(Engine)))


async def with_engine(health: GeneratorHealth, engine: CallerEngine, wall_s: float) -> GeneratorHealth:
    """The health of this process and of its engine, which counts as far as it is a process of its own."""
    if not isinstance(engine, DenseEngine):
        return health
    told = await engine.health()
    if told is None:
        return replace(health, pacing_known=False)
    share = health.cpu_share + told.cpu_s / max(wall_s, 1e-9) / len(os.sched_getaffinity(0))
    return replace(health, pacing_p99_s=told.late_p99_s, pacing_max_s=told.late_max_s, cpu_share=share)


def engine_json(engine: CallerEngine) -> dict[str, Any]:
    """What stands in a result about the engine: its name, its playout delay, and what its ears counted."""
    counted = asdict(engine.counts) if isinstance(engine, DenseEngine) else None
    return {"name": engine.facts.name, "playout_delay_s": engine.facts.playout_delay_s, "packets": counted}

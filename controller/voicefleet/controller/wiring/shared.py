"""What every part of a controller shares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from voicefleet.controller.metrics import Metrics
from voicefleet.controller.regions.region import Region
from voicefleet.controller.settings.controller import Settings
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.redis.connection import RedisClient

Loops = dict[str, Callable[[], Awaitable[None]]]
"""Name -> what runs until it is cancelled."""


@dataclass(frozen=True, slots=True)
class Shared:
    settings: Settings
    clock: Clock
    metrics: Metrics
    redis: RedisClient
    regions: Mapping[str, Region]

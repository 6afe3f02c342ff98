"""The settings of region eu, as a settings file without more than it needs would give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voicefleet.controller.settings.region import RegionSettings

POOL: Mapping[str, Any] = {"min_workers": 0, "max_workers": 4, "policy": "buffer", "buffer": 0, "scale_down_delay_s": 0}
LIVEKIT = {"url": "ws://lk", "api_key": "key", "api_secret_env": "SECRET"}


def region_settings(pool: Mapping[str, Any], **fields: Any) -> RegionSettings:
    """With `fields`, and with `pool` over a pool of up to 4 workers that keeps no free slot."""
    given = {"livekit": LIVEKIT, "pool": {**POOL, **pool}, **fields}
    return RegionSettings.model_validate(given, context={"SECRET": "secret"}).named("eu")

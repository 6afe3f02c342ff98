"""Addresses and credentials of the servers to check, from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from voicefleet.runtime.redis.address import with_authority


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Addresses and credentials; empty where the environment says nothing."""

    redis_url: str = field(repr=False)
    livekit_url: str
    livekit_api_key: str
    livekit_api_secret: str = field(repr=False)
    controller_url: str
    controller_key: str = field(repr=False)


def surroundings() -> Surroundings:
    """The environment's."""
    get = os.environ.get
    return Surroundings(
        redis_url=with_authority(
            get("VOICEFLEET_REDIS_URL", ""), get("VOICEFLEET_REDIS_CA_FILE", ""), field="VOICEFLEET_REDIS_CA_FILE"
        ),
        livekit_url=get("LIVEKIT_URL", ""),
        livekit_api_key=get("LIVEKIT_API_KEY", ""),
        livekit_api_secret=get("LIVEKIT_API_SECRET", ""),
        controller_url=get("VOICEFLEET_CONTROLLER_URL", ""),
        controller_key=get("VOICEFLEET_CONTROLLER_KEY", ""),
    )

"""Addresses and credentials of the servers to call, from the environment. Secrets come from nowhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

CONTROLLER_URL = "VOICEFLEET_CONTROLLER_URL"
CONTROLLER_KEY = "VOICEFLEET_CONTROLLER_KEY"


@dataclass(frozen=True, slots=True)
class CallingSettings:
    """Addresses and credentials; empty where the environment says nothing.

    Attributes:
        controller_url: ``http://HOST:PORT`` of the controller.
        controller_key: its bearer token; empty when it asks for none.
        livekit_api_key, livekit_api_secret: for calls with a token of our own.
    """

    controller_url: str = ""
    controller_key: str = field(default="", repr=False)
    livekit_api_key: str = ""
    livekit_api_secret: str = field(default="", repr=False)


def calling_settings() -> CallingSettings:
    """The environment's."""
    get = os.environ.get
    return CallingSettings(
        controller_url=get(CONTROLLER_URL, ""),
        controller_key=get(CONTROLLER_KEY, ""),
        livekit_api_key=get("LIVEKIT_API_KEY", ""),
        livekit_api_secret=get("LIVEKIT_API_SECRET", ""),
    )

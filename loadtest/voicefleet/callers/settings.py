"""The LiveKit credentials that the environment holds, for calls with a token of our own."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LiveKitKeys:
    """An API key and its secret; empty where the environment says nothing."""

    api_key: str = ""
    api_secret: str = field(default="", repr=False)


def livekit_keys() -> LiveKitKeys:
    """The environment's."""
    return LiveKitKeys(os.environ.get("LIVEKIT_API_KEY", ""), os.environ.get("LIVEKIT_API_SECRET", ""))

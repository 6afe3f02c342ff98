"""What the environment holds for calls: LiveKit credentials, and secrets that an option names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from voicefleet.contract.errors import ConfigError


@dataclass(frozen=True, slots=True)
class LiveKitKeys:
    """An API key and its secret; empty where the environment says nothing."""

    api_key: str = ""
    api_secret: str = field(default="", repr=False)


def livekit_keys() -> LiveKitKeys:
    """The environment's."""
    return LiveKitKeys(os.environ.get("LIVEKIT_API_KEY", ""), os.environ.get("LIVEKIT_API_SECRET", ""))


def named_values(names: Mapping[str, str], *, field: str) -> dict[str, str]:
    """The values of environment variables: key -> variable in, key -> its value out.

    Raises:
        ConfigError: one is not set; it names `field` and the variable, never a value.
    """
    for key, name in names.items():
        if not os.environ.get(name):
            raise ConfigError(
                f"the environment variable {name} is not set",
                field=field,
                value=key,
                hint="Set it.",
            )
    return {key: os.environ[name] for key, name in names.items()}

"""The controller that the environment names."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from voicefleet.contract.errors import ConfigError
from voicefleet.runtime.command.addresses import require_address

CONTROLLER_URL = "VOICEFLEET_CONTROLLER_URL"
CONTROLLER_KEY = "VOICEFLEET_CONTROLLER_KEY"


@dataclass(frozen=True, slots=True)
class ControllerAccess:
    """Where the controller is, and the key to it.

    Attributes:
        url: ``http://HOST:PORT``.
        key: bearer token; empty when the controller asks for none.
    """

    url: str
    key: str = field(default="", repr=False)


def controller_access(option: str | None) -> ControllerAccess:
    """The controller at the address of the option, else of the environment; the key is always the environment's.

    Raises:
        ConfigError: neither names an address, or it is no HTTP address.
    """
    url = option or os.environ.get(CONTROLLER_URL, "")
    if not url:
        raise ConfigError(
            "no controller is given",
            field="--controller",
            hint=f"Give http://HOST:PORT, or set {CONTROLLER_URL}.",
        )
    require_address(url, ("http", "https"), field="--controller", form="http://HOST:PORT")
    return ControllerAccess(url, os.environ.get(CONTROLLER_KEY, ""))

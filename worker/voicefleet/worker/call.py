"""What a team's agent is given: the call's context, and the factory that makes an agent of it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from livekit.agents import Agent

from voicefleet.contract.calls import CallOrder
from voicefleet.contract.errors import ConfigError, UsageError

RECOVERED = "recovered"
HANDED_OVER = "handed_over"


@dataclass(frozen=True, slots=True)
class CallContext:
    """One call, as the agent's factory sees it."""

    region: str
    room: str
    tier: str
    """Name of the tier that serves the call."""
    order: CallOrder
    """What the call was ordered with by `POST /v1/calls`, such as `order.metadata` and `order.language`. Where a front
    end makes its own token: what that token's dispatch says."""
    worker: str
    resumed: str = ""
    """Empty for a new call; "recovered" or "handed_over" for one that another agent had: its conversation is restored,
    and `on_resume(why)` is called in place of `on_enter` if your agent has it."""
    kept: dict[str, Any] = field(default_factory=dict, hash=False)
    """Yours: JSON values that the next agent of this call shall know. Stored with every turn."""


AgentFactory: TypeAlias = Callable[[CallContext], Agent | Awaitable[Agent]]


def load_factory(path: str) -> AgentFactory:
    """Import ``my_pkg.my_agent:create``. The working directory counts as a place to import from.

    Raises:
        ConfigError: `path` does not import or is not callable.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise _refused(path, "not of the form package.module:function")
    try:
        module = importlib.import_module(module_name)
    except UsageError:
        raise
    except Exception as error:
        raise _refused(path, f"does not import ({type(error).__name__}: {error})") from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise _refused(path, f"module {module_name} has no function {attribute}")
    return factory  # type: ignore[no-any-return]


def _refused(path: str, what: str) -> ConfigError:
    return ConfigError(
        what,
        field="--agent",
        value=path,
        hint="Give package.module:function, a function that takes the call's context and returns an Agent.",
    )

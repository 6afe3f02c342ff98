"""Loads TARGET of `voicefleet worker --agent TARGET`: a team's agent, in any of the forms that teams have it.

- ``my_agent:server``: a livekit `AgentServer`, as every LiveKit example is. Its session function, `setup_fnc`,
  `on_request` and `on_session_end` are used; how it registers and scales is the fleet's.
- ``my_agent:entrypoint``: an ``async def entrypoint(ctx: JobContext)``; a ``prewarm(proc)`` beside it prepares each job
  process, as such files pass it to `WorkerOptions`. An object of `WorkerOptions` itself is taken too.
- ``my_agent:create``: a factory that takes the call's context and returns an `Agent`, or an
  ``(Agent, session options, room options)``.

``my_agent`` is a module, or a file that ends in ``.py``. Without a name after the colon the module's only
`AgentServer` is taken.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
import traceback
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from livekit.agents import Agent, AgentServer, JobContext, JobProcess, JobRequest
from livekit.agents.voice.room_io import RoomOptions
from livekit.agents.worker import ServerOptions

from voicefleet.contract.errors import ConfigError, MissingPartError, UsageError
from voicefleet.contract.parsing.validation import closest
from voicefleet.worker.agent_path import make_importable, place_of
from voicefleet.worker.call import CallContext
from voicefleet.worker.job import sdk
from voicefleet.worker.tiers.plugins import distribution

Made: TypeAlias = Agent | tuple[Agent, Mapping[str, Any]] | tuple[Agent, Mapping[str, Any], RoomOptions]
"""What a factory returns. Session options are keyword arguments of `AgentSession`."""
AgentFactory: TypeAlias = Callable[[CallContext], Made | Awaitable[Made]]
Entrypoint: TypeAlias = Callable[[JobContext], Awaitable[None]]

_HINT = (
    "Give my_agent:server (an AgentServer), my_agent:entrypoint (async def entrypoint(ctx: JobContext)) or "
    "my_agent:create (takes the call's context, returns an Agent)."
)
_ENTRYPOINT_NAMES = frozenset({"ctx", "job_ctx", "job_context"})


class Form(enum.StrEnum):
    """What a TARGET is."""

    FACTORY = "factory"
    ENTRYPOINT = "entrypoint"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Target:
    """A team's agent, loaded. Either `factory` or `entrypoint` is set; the hooks are those of an `AgentServer`."""

    path: str
    form: Form
    factory: AgentFactory | None = None
    entrypoint: Entrypoint | None = None
    setup: Callable[[JobProcess], Any] | None = None
    on_request: Callable[[JobRequest], Awaitable[None]] | None = None
    on_session_end: Callable[[JobContext], Awaitable[None]] | None = None
    agent_name: str = ""
    """The name that an `AgentServer` gives itself, which the fleet does not use."""

    @property
    def default_tiers(self) -> str:
        """The built-in tiers that serve it when no tiers are named: a session that is the team's own stays as it is."""
        return "local" if self.form is Form.FACTORY else "own"


def load_target(path: str) -> Target:
    """Import TARGET. The working directory counts as a place to import from.

    Raises:
        ConfigError: `path` does not import, or is none of the forms.
    """
    module_part, _, name = path.partition(":")
    if not module_part:
        raise _refused(path, "not of the form module:name")
    module = _import(path)
    found = getattr(module, name, None) if name else _only_server(module)
    if found is None:
        what = f"module {module.__name__} has no {name}" if name else f"module {module.__name__} has no AgentServer"
        close = closest(name, [n for n in vars(module) if not n.startswith("_")], cutoff=0.75) if name else ""
        raise _refused(path, what, f"Did you mean {close}?" if close else _HINT)
    if isinstance(found, ServerOptions):
        found = AgentServer.from_server_options(found)
    if isinstance(found, AgentServer):
        return _of_server(path, found)
    if isinstance(found, Agent):
        raise _refused(path, "is one Agent, and each call needs its own: give a function that makes it")
    if not callable(found):
        raise _refused(path, f"is a {type(found).__name__}")
    _check_takes_one(path, found)
    if _is_entrypoint(found):
        if not inspect.iscoroutinefunction(found):
            raise _refused(path, "takes a JobContext and is no `async def`")
        prewarm = getattr(module, "prewarm", None)
        return Target(path, Form.ENTRYPOINT, entrypoint=found, setup=prewarm if inspect.isfunction(prewarm) else None)
    return Target(path, Form.FACTORY, factory=found)


def package_of(path: str) -> str:
    """The top-level package, or the module, of TARGET."""
    module_part = path.partition(":")[0]
    return Path(module_part).stem if module_part.endswith(".py") else module_part.partition(".")[0]


def _import(path: str) -> Any:
    module_name = make_importable(path)
    try:
        return importlib.import_module(module_name)
    except UsageError:
        raise
    except ImportError as error:
        missing = _missing_module(error)
        if not missing:
            raise _refused(path, f"does not import (ImportError: {error})") from error
        if f"{module_name}.".startswith(f"{missing}."):
            close = closest(missing, [file.stem for file in place_of(path)[0].glob("*.py")], cutoff=0.75)
            looked = "Name a file, or a module in the working directory, in PYTHONPATH or installed."
            looked = f"Did you mean {close}?" if close else looked
            raise _refused(path, f"does not import: there is no module {missing}", looked) from error
        raise MissingPartError(
            f"does not import: it needs the module {missing}, which is not installed",
            field="--agent",
            value=path,
            hint=f"Install it where the agent runs (pip install {distribution(missing)}; an image: in its Dockerfile).",
        ) from error
    except Exception as error:
        raise _refused(path, f"does not import ({type(error).__name__}: {error})") from error


def _missing_module(error: ImportError) -> str:
    """The module that is not installed; empty: that is not what is wrong."""
    if error.name == "livekit.plugins":
        # Which plugin it is does not stand in the error, but in the line that asks for it.
        lines = [frame.line or "" for frame in traceback.extract_tb(error.__traceback__)]
        plugin = re.search(r"livekit\.plugins(?:\.| import )(\w+)", "\n".join(lines))
        return f"livekit.plugins.{plugin[1]}" if plugin else error.name
    return (error.name or "") if isinstance(error, ModuleNotFoundError) else ""


def _only_server(module: Any) -> AgentServer | None:
    servers = [value for value in vars(module).values() if isinstance(value, AgentServer)]
    return servers[0] if len(servers) == 1 else None


def _of_server(path: str, server: AgentServer) -> Target:
    hooks = sdk.server_hooks(server)
    if hooks.entrypoint is None:
        raise _refused(path, "is an AgentServer with no session", "Register one: @server.rtc_session() above it.")
    if not hooks.for_rooms:
        raise _refused(path, "is an AgentServer of another type than ROOM", "The fleet serves one call in one room.")
    return Target(
        path,
        Form.SERVER,
        entrypoint=hooks.entrypoint,
        setup=hooks.setup,
        on_request=hooks.on_request,
        on_session_end=hooks.on_session_end,
        agent_name=hooks.agent_name,
    )


def _check_takes_one(path: str, found: Callable[..., Any]) -> None:
    try:
        inspect.signature(found).bind(object())
    except TypeError as error:
        raise _refused(path, f"does not take one argument ({error})") from error
    except ValueError:  # A callable whose signature nobody knows.
        return


def _is_entrypoint(found: Callable[..., Any]) -> bool:
    """Whether it takes a JobContext: by the type of what it takes, else of what it returns, else by its names."""
    if inspect.isclass(found):
        return False
    try:
        parameters = list(inspect.signature(found).parameters.values())
    except ValueError:
        return False
    try:
        hints = typing.get_type_hints(found)
    except Exception:  # Names that exist for type checkers alone.
        hints = {}
    kind = hints.get(parameters[0].name) if parameters else None
    if inspect.isclass(kind):
        return issubclass(kind, JobContext)
    if "return" in hints:
        return hints["return"] is type(None)
    named = bool(parameters) and parameters[0].name in _ENTRYPOINT_NAMES
    return inspect.iscoroutinefunction(found) and (named or found.__name__ == "entrypoint")


def _refused(path: str, what: str, hint: str = _HINT) -> ConfigError:
    return ConfigError(what, field="--agent", value=path, hint=hint)

"""How to make the agent that has a call once more, in another process: its class by name, and its arguments as JSON.

A team's agents hand a call to each other. The one that has it when a worker drains or dies is made again by the next
worker from such a recipe. No change to the team's code is needed: `remember_arguments` notes what each agent is made
with. What is in the constructor's arguments and is neither JSON nor one of the things that the next job has of its own
(the call's context, the job's, the session's userdata, a conversation, a function tool) makes an agent one that cannot
be made again.

A recipe comes from Redis: it names subclasses of `Agent` and function tools only, and only of modules that the job has
imported or that belong to the team's own package.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from livekit.agents import Agent, JobContext
from livekit.agents.llm import ChatContext, FunctionTool, RawFunctionTool

from voicefleet.contract.errors import VoicefleetError

_MADE_WITH = "_voicefleet_made_with"
_DEEPEST = 8


class RecipeError(VoicefleetError):
    """The agent cannot be made again. The text says why, with names of classes and arguments and no values."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a job has of its own for the agents that it makes."""

    call: Any = None
    job: Any = None
    userdata: Any = None

    def named(self, value: Any) -> str:
        """Which of these `value` is; empty: none."""
        if isinstance(value, ChatContext):
            return "chat_ctx"
        if isinstance(value, JobContext):
            return "job"
        own = {"call": self.call, "job": self.job, "userdata": self.userdata}
        return next((name for name, thing in own.items() if thing is not None and thing is value), "")

    def thing(self, name: str) -> Any:
        """The opposite of `named`. A conversation is empty here: it is restored into the agent once it is made."""
        match name:
            case "chat_ctx":
                return ChatContext.empty()
            case "call" | "job" | "userdata":
                return getattr(self, name)
        raise RecipeError(f"it names {name!r}, which no job has")


def remember_arguments() -> None:
    """From now on every `Agent` knows what it is made with. To be called before the team's code is imported."""
    if "__new__" in vars(Agent):
        return

    def new(cls: type[Agent], *args: Any, **kwargs: Any) -> Agent:
        agent = object.__new__(cls)
        vars(agent)[_MADE_WITH] = (args, kwargs)
        return agent

    Agent.__new__ = new  # type: ignore[method-assign, assignment]


def recipe_of(agent: Agent, given: Given) -> dict[str, Any]:
    """The recipe of `agent`, as JSON.

    Raises:
        RecipeError: it cannot be made again from its class and arguments.
    """
    kind = type(agent)
    recipe: dict[str, Any] = {"class": _name_of(kind)}
    if _in_userdata(given.userdata, kind) is agent:
        return recipe | {"from": "userdata"}
    args, kwargs = vars(agent).get(_MADE_WITH, ((), {}))
    recipe["args"] = [_written(value, f"argument {n + 1}", given) for n, value in enumerate(args)]
    recipe["kwargs"] = {name: _written(value, f"argument {name}", given) for name, value in kwargs.items()}
    return recipe


def make_again(recipe: Mapping[str, Any], given: Given, own: str = "") -> Agent:
    """The agent of `recipe`; one of its class that the job's userdata already has is taken as it is.

    Args:
        own: the team's top-level package, from which modules may be imported.

    Raises:
        RecipeError: it cannot be made here.
    """
    kind = _thing_named(str(recipe.get("class", "")), own)
    if not (isinstance(kind, type) and issubclass(kind, Agent)):
        raise RecipeError("its class is no Agent")
    if recipe.get("from") == "userdata":
        found = _in_userdata(given.userdata, kind)
        if found is None:
            raise RecipeError(f"this job's userdata has not just one {kind.__name__}")
        return found
    try:
        args = [_read(value, given, own) for value in recipe.get("args", [])]
        kwargs = {str(name): _read(value, given, own) for name, value in recipe.get("kwargs", {}).items()}
        return kind(*args, **kwargs)
    except RecipeError:
        raise
    except Exception as error:  # the team's own constructor
        raise RecipeError(f"{kind.__name__} raised {type(error).__name__}") from error


def _name_of(thing: Any) -> str:
    """`module:qualname`, from which another process gets the same thing."""
    module, qualname = getattr(thing, "__module__", ""), getattr(thing, "__qualname__", "")
    name = f"{module}:{qualname}"
    if not module or not qualname or module == "__main__" or "<" in qualname:
        raise RecipeError(f"{qualname or type(thing).__name__} is not of a module that can be imported")
    try:
        same = _attribute(sys.modules[module], qualname) is thing
    except (KeyError, AttributeError):
        same = False
    if not same:
        raise RecipeError(f"{name} is not what its module has under that name")
    return name


def _attribute(thing: Any, path: str) -> Any:
    for part in path.split("."):
        thing = getattr(thing, part)
    return thing


def _thing_named(name: str, own: str) -> Any:
    module, _, qualname = name.partition(":")
    try:
        if module not in sys.modules:
            if not own or module.partition(".")[0] != own:
                raise RecipeError(f"module {module} is not imported here")
            importlib.import_module(module)
        return _attribute(sys.modules[module], qualname)
    except RecipeError:
        raise
    except Exception as error:  # the team's own module
        raise RecipeError(f"{name} is not there ({type(error).__name__})") from error


def _written(value: Any, name: str, given: Given, depth: int = 0) -> Any:
    """`value` as JSON: {"json": ...}, {"given": name}, {"tool": name} or {"list": [...]}."""
    if which := given.named(value):
        return {"given": which}
    if isinstance(value, FunctionTool | RawFunctionTool):
        return {"tool": _name_of(value)}
    if _is_json(value):
        return {"json": value}
    if isinstance(value, list | tuple) and depth < _DEEPEST:
        return {"list": [_written(item, name, given, depth + 1) for item in value]}
    raise RecipeError(f"{name} is a {type(value).__name__}, which is no JSON")


def _read(value: Mapping[str, Any], given: Given, own: str) -> Any:
    match value:
        case {"json": plain}:
            return plain
        case {"given": str(name)}:
            return given.thing(name)
        case {"list": list(items)}:
            return [_read(item, given, own) for item in items]
        case {"tool": str(name)}:
            tool = _thing_named(name, own)
            if isinstance(tool, FunctionTool | RawFunctionTool):
                return tool
    raise RecipeError("an argument is of a kind that this release does not know")


def _is_json(value: Any) -> bool:
    """Whether `value` is the same after a way through JSON: no tuple, no key that is a number, no NaN."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value) and not isinstance(value, tuple)
    except (TypeError, ValueError, RecursionError):
        return False


def _in_userdata(userdata: Any, kind: type[Agent]) -> Agent | None:
    """The one agent of exactly this class in the userdata, or in a dict or list of it; None: none, or several."""
    found: dict[int, Agent] = {}

    def look(thing: Any, again: Callable[[Any], None] | None) -> None:
        if type(thing) is kind:
            found[id(thing)] = thing
        elif again is not None:
            again(thing)

    def inside(thing: Any) -> None:
        for item in thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list | tuple) else ():
            look(item, None)

    fields = userdata.values() if isinstance(userdata, dict) else getattr(userdata, "__dict__", {}).values()
    for field in list(fields):
        look(field, inside)
    return next(iter(found.values())) if len(found) == 1 else None

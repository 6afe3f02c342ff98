"""What is known of a team's agents, before any call, about moving from one worker to another.

The rule itself is `conversation.current_agent`'s and looks at the agents of a call; here only their classes are known.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from typing import Any

from livekit.agents import Agent, AgentTask, JobContext
from livekit.agents.llm import ChatContext, FunctionTool, RawFunctionTool

from voicefleet.worker.call import CallContext

_OTHERS = ("livekit", "voicefleet")
_JSON = (str, int, float, bool, type(None), dict, list)
_GIVEN = (ChatContext, JobContext, CallContext, FunctionTool, RawFunctionTool)
"""What the next job has of its own, or finds by its name."""


def classes_of_the_team() -> list[type[Agent]]:
    """Every class of agents that has been imported and is neither the SDK's nor ours, by name."""
    found = {kind for kind in _below(Agent) if kind.__module__.partition(".")[0] not in _OTHERS}
    return sorted(found, key=lambda kind: kind.__qualname__)


def _below(kind: type[Agent]) -> Iterator[type[Agent]]:
    for below in kind.__subclasses__():
        yield below
        yield from _below(below)


def how_it_moves(kind: type[Agent], first: type[Agent]) -> str:
    """How a call whose agent is of class `kind` moves, or why it does not. `first`: the one that the session starts
    with."""
    if kind is first:
        return "the next worker's run of your code makes it"
    if issubclass(kind, AgentTask):
        return "a handoff waits for its end; after a crash the agent that awaited it has the call"
    if "<" in kind.__qualname__ or kind.__module__ == "__main__":
        return "cannot be made again, since it is not at the top level of a module: a handoff waits for another agent"
    refused = [f"{name}: {shown}" for name, shown in _no_json(kind)]
    if refused:
        return f"cannot be made again if it is given {', '.join(refused)}, which is no JSON"
    return "made again from its class and arguments, as far as these are JSON"


def _no_json(kind: type[Agent]) -> Iterator[tuple[str, str]]:
    """The parameters of its constructor whose annotations are of other types."""
    try:
        hints = typing.get_type_hints(kind.__init__)
        parameters = inspect.signature(kind).parameters
    except Exception:  # names that exist for type checkers alone, or a constructor that nobody knows
        return
    for name, parameter in parameters.items():
        if name in hints and parameter.kind is not inspect.Parameter.VAR_KEYWORD and not _fits(hints[name]):
            yield name, getattr(hints[name], "__name__", str(hints[name]))


def _fits(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(part) for part in typing.get_args(hint) if part is not type(None))
    if origin in (list, dict, typing.Literal) or hint is Any:
        return True
    kind = origin or hint
    return not inspect.isclass(kind) or kind in _JSON or issubclass(kind, _GIVEN)

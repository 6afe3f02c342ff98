"""Which of a team's agents has the call: stored with the conversation, and made again by the next job.

The first agent, which the team's own code gives to `AgentSession.start`, needs no recipe: the next job's code makes it
as well. Any other one is made again from its class and arguments. An `AgentTask` that another agent awaits cannot be:
it stands in the middle of that agent's code. A handoff waits for its end, and after a crash the agent that awaited it
has the call; where it did so in its `on_enter`, that runs once more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from livekit.agents import Agent

from voicefleet.runtime.logs.setup import get_logger
from voicefleet.worker.conversation.agent_recipe import Given, RecipeError, make_again, recipe_of
from voicefleet.worker.conversation.transcript import Loss

_NO_RECIPE = frozenset({"kept", "entering"})

log = get_logger(__name__)


class CurrentAgent:
    """The agent of one call, as one job sees it.

    Args:
        outer: gives the agent that has the call, see `sdk.outer_agent`; None before the session has one.
        entering: whether it waits in its `on_enter` for a task.
        given: what the job has of its own for agents.
        own: the team's top-level package.
        lost: told what could not be restored.
    """

    def __init__(
        self,
        outer: Callable[[], Agent | None],
        entering: Callable[[], bool],
        given: Callable[[], Given],
        own: str,
        lost: Callable[[Loss], None],
    ) -> None:
        self._outer = outer
        self._entering = entering
        self._given = given
        self._own = own
        self._lost = lost
        self._first: Agent | None = None
        self._chosen: Agent | None = None
        self._chosen_by: dict[str, Any] = {}
        self._looked_at: tuple[Agent, dict[str, Any]] | None = None

    def stored(self) -> dict[str, Any]:
        """What the transcript holds of it. "refused" says why it cannot be made again."""
        agent = self._outer()
        if agent is None:
            return {}
        about = dict(self._recipe(agent))
        if kept := self._kept_of(agent):
            about["kept"] = kept
        if self._entering():
            about["entering"] = True
        return about

    def refusal(self) -> str:
        """Why the agent that has the call cannot be made again; empty: it can."""
        agent = self._outer()
        return str(self._recipe(agent).get("refused", "")) if agent is not None else ""

    def begin(self, first: Agent) -> None:
        """`first` is the agent that the team's code gave to the session."""
        self._first = self._chosen = first

    def choose(self, stored: Mapping[str, Any]) -> Agent:
        """The agent that has the call: the first one, or the one that is stored. Asked again about the same one, the
        same object; what it kept is as it is stored now."""
        assert self._chosen is not None, "begin() comes first"
        recipe = {name: value for name, value in stored.items() if name not in _NO_RECIPE}
        if recipe != self._chosen_by:
            self._chosen_by = recipe
            self._chosen = self._made_again(recipe)
        if not recipe or self._chosen is not self._first:  # What another agent kept is not the first one's.
            _put_kept(self._chosen, stored.get("kept"))
        return self._chosen

    def _made_again(self, recipe: Mapping[str, Any]) -> Agent:
        assert self._first is not None, "begin() comes first"
        if not recipe:
            return self._first
        try:
            if "refused" in recipe:
                raise RecipeError(str(recipe["refused"]))
            return make_again(recipe, self._given(), self._own)
        except RecipeError as error:
            log.warning("the agent that had the call cannot be made again, the first one takes it", reason=str(error))
            self._lost(Loss.AGENT_REFUSED)
            return self._first

    def _recipe(self, agent: Agent) -> dict[str, Any]:
        if agent is self._first:
            return {}
        if self._looked_at is None or self._looked_at[0] is not agent:
            try:
                recipe = recipe_of(agent, self._given())
            except RecipeError as error:
                recipe = {"refused": f"agent {type(agent).__name__} cannot be made again: {error}"}
                log.warning("a handoff of this call will wait for another agent", reason=recipe["refused"])
            self._looked_at = (agent, recipe)
        return self._looked_at[1]

    def _kept_of(self, agent: Agent) -> dict[str, Any]:
        kept = getattr(agent, "kept", None)
        if not isinstance(kept, dict) or not kept or kept is getattr(self._given().call, "kept", None):
            return {}
        try:
            return dict(json.loads(json.dumps(kept, allow_nan=False)))
        except Exception:  # The team's own objects may raise anything.
            self._lost(Loss.KEPT_REFUSED)
            return {}


def _put_kept(agent: Agent, kept: object) -> None:
    if not isinstance(kept, dict) or not kept:
        return
    own = getattr(agent, "kept", None)
    if isinstance(own, dict):
        own.clear()
        own.update(kept)
    else:
        vars(agent)["kept"] = dict(kept)

"""The settings of one region: its LiveKit, its pool, where its workers run, and what waiting callers hear."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from voicefleet.contract.dials import TRUNK_PATTERN
from voicefleet.contract.parsing.validation import refused
from voicefleet.contract.pools import PoolPlace, PoolRole, PoolSpec
from voicefleet.contract.rooms import ORDERED, ROOMS_PATTERN
from voicefleet.controller.settings.agent_checks import check_agents
from voicefleet.controller.settings.agents import AgentSettings, PoolPart
from voicefleet.controller.settings.kubernetes import KubernetesSettings
from voicefleet.controller.settings.livekit import LiveKitSettings
from voicefleet.controller.settings.placement import RESIDENCY_PATTERN
from voicefleet.controller.settings.pool import PoolSettings
from voicefleet.controller.settings.rooms import choice_of_rooms
from voicefleet.controller.settings.routes import Routes
from voicefleet.controller.settings.section import Section
from voicefleet.controller.settings.tier import TierPart
from voicefleet.controller.settings.trunk import TrunkSettings
from voicefleet.controller.settings.waiting_message import WaitingMessageSettings


class ProcessSettings(Section):
    """Workers as processes of this machine."""

    command: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="What starts a worker.")
    env: Mapping[str, str] = Field(
        default_factory=dict, repr=False, description="Environment variables of the workers."
    )
    state_dir: Path = Field(
        description="By what is in it a restarted controller finds its workers. One controller at a time uses it."
    )
    log_dir: Path = Field(description="Where the workers' logs go.")
    on_exit: Literal["stop", "leave"] = Field(
        default="stop", description="stop: the workers end with the controller; leave: they stay."
    )
    stop_timeout_s: Annotated[float, Field(ge=0, le=7200)] = Field(
        default=10.0,
        description="At the controller's end: longest wait for its workers, seconds; then they are killed.",
    )


class RegionSettings(TierPart):
    livekit: LiveKitSettings = Field(description="The region's LiveKit.")
    agent_name: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        default="voicefleet", description="The name that dispatches ask for."
    )
    rooms: Annotated[str, BeforeValidator(choice_of_rooms), Field(pattern=ROOMS_PATTERN)] = Field(
        default=ORDERED,
        description="ordered: a call is a room for which our agent was ordered, by a ticket of the controller, a "
        "dispatch, the room's metadata or a request. all: every room with a caller. PREFIX*: those that were ordered, "
        "and every room with a caller whose name begins so.",
    )
    residency: Annotated[str, Field(pattern=RESIDENCY_PATTERN)] = Field(
        default="",
        description="Data-residency group: calls that belong to it go to its regions alone, and are refused where "
        "these have no room; default: none.",
    )
    spill_to: tuple[str, ...] = Field(
        default=(),
        description="Regions that take its calls when it is full or unwell, in order, then those of their own "
        "`spill_to`; for calls that ask for it by name, or that `placement` gives it; default: none.",
    )
    probe_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] | None = Field(
        default=None,
        description="What callers fetch to measure how near the region is, http:// or https://; default: LiveKit's own "
        "`/`. Needed where several regions have one LiveKit.",
    )
    pool: PoolSettings = Field(default_factory=PoolSettings, description="The pool's size and policy.")
    process: ProcessSettings | None = Field(
        default=None,
        description="Workers are processes of this machine. Without this and `kubernetes`: they are started by someone "
        "else, and the controller only repairs.",
    )
    kubernetes: KubernetesSettings | None = Field(default=None, description="Workers are pods of a Deployment.")
    waiting_message: WaitingMessageSettings | None = Field(
        default_factory=WaitingMessageSettings,
        description="What callers hear who wait for an agent; left out: the built-in message, null: nothing.",
    )
    handoff: bool = Field(
        default=True,
        description="Live calls of a worker that drains move to others; false: it keeps them to their end.",
    )

    trunks: Mapping[Annotated[str, Field(pattern=TRUNK_PATTERN)], TrunkSettings] = Field(
        default_factory=dict,
        description="LiveKit's outbound SIP trunks, by their ids, that `POST /v1/calls` may dial on; default: none.",
    )

    agents: Mapping[PoolPart, AgentSettings] = Field(
        default_factory=dict,
        description="The agents of the region, by name, each with a pool of its own, or one for each of its versions: "
        "what is said here of the region holds for all of them. Default: the region is one pool.",
    )
    default_agent: str | None = Field(
        default=None, description="The agent of calls that name none; default: the only one there is, else none."
    )

    _place: PoolPlace = PrivateAttr(PoolPlace(""))
    _role: PoolRole = PrivateAttr(PoolRole.STABLE)
    _routes: Routes = PrivateAttr(default_factory=Routes)
    _trial: str = PrivateAttr("")

    @property
    def name(self) -> str:
        """The pool's name; that of a region without `agents` is its key in the file."""
        return self.place.pool

    @property
    def path(self) -> str:
        """Where the pool stands in the file."""
        place = self._place
        agent = f".agents.{place.agent}" if place.agent else ""
        return f"regions.{place.region}{agent}" + (f".versions.{place.version}" if place.version else "")

    @property
    def place(self) -> PoolPlace:
        """Which region, agent and version the pool is for."""
        # As `self._place`, without pydantic's search for it: every request for a call asks each pool.
        found: PoolPlace = (self.__pydantic_private__ or {})["_place"]
        return found

    @property
    def role(self) -> PoolRole:
        """What the pool is to its agent."""
        return self._role

    @property
    def routes(self) -> Routes:
        """What leads a call to an agent of the region."""
        return self._routes

    @property
    def trial(self) -> str:
        """Fingerprint of the canary that is tried, on its pool and on the stable one; empty: none is."""
        return self._trial

    def named(self, name: str) -> Self:
        """This region, now that its key is known."""
        self._place = PoolPlace(name)
        return self

    def placed(self, place: PoolPlace, role: PoolRole, routes: Routes, *, trial: str) -> Self:
        """This pool of a region with `agents`."""
        self._place, self._role, self._routes, self._trial = place, role, routes, trial
        return self

    @property
    def pool_spec(self) -> PoolSpec:
        return self.pool.spec(self.name)

    @model_validator(mode="after")
    def _agents_agree(self) -> Self:
        check_agents(
            self.agents,
            self.default_agent,
            rooms=self.rooms,
            trunks=self.trunks,
            processes=self.process is not None,
            pods=self.kubernetes is not None,
        )
        return self

    @model_validator(mode="after")
    def _pods_or_processes(self) -> Self:
        if self.kubernetes is not None and self.process is not None:
            raise refused(
                "workers are either pods or processes",
                field="kubernetes",
                hint="Keep exactly one of kubernetes and process.",
            )
        return self

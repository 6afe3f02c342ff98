"""The settings of one region: its LiveKit, its pool, where its workers run, and what waiting callers hear."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from voicefleet.contract.dials import TRUNK_PATTERN
from voicefleet.contract.parsing.validation import refused
from voicefleet.contract.pools import PoolSpec
from voicefleet.contract.rooms import ORDERED, ROOMS_PATTERN
from voicefleet.controller.settings.kubernetes import KubernetesSettings
from voicefleet.controller.settings.livekit import LiveKitSettings
from voicefleet.controller.settings.pool import PoolSettings
from voicefleet.controller.settings.section import Section
from voicefleet.controller.settings.trunk import TrunkSettings
from voicefleet.controller.settings.waiting_message import WaitingMessageSettings


def _rooms(text: object) -> object:
    if isinstance(text, str) and not re.match(ROOMS_PATTERN, text):
        raise refused("not a choice of rooms", value=text, hint="Give ordered, all, or a prefix and a star: support-*.")
    return text


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


class RegionSettings(Section):
    livekit: LiveKitSettings = Field(description="The region's LiveKit.")
    agent_name: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        default="voicefleet", description="The name that dispatches ask for."
    )
    rooms: Annotated[str, BeforeValidator(_rooms), Field(pattern=ROOMS_PATTERN)] = Field(
        default=ORDERED,
        description="ordered: a call is a room for which our agent was ordered, by a ticket of the controller, a "
        "dispatch, the room's metadata or a request. all: every room with a caller. PREFIX*: those that were ordered, "
        "and every room with a caller whose name begins so.",
    )
    pool: PoolSettings = Field(default_factory=PoolSettings, description="The pool's size and policy.")
    process: ProcessSettings | None = Field(
        default=None,
        description="Workers are processes of this machine. Without this and `kubernetes`: they are started by someone "
        "else, and the controller only repairs.",
    )
    kubernetes: KubernetesSettings | None = Field(default=None, description="Workers are pods of a Deployment.")
    waiting_message: WaitingMessageSettings | None = Field(
        default=None, description="What callers hear who wait for an agent; default: nothing."
    )
    handoff: bool = Field(
        default=True,
        description="Live calls of a worker that drains move to others; false: it keeps them to their end.",
    )

    trunks: Mapping[Annotated[str, Field(pattern=TRUNK_PATTERN)], TrunkSettings] = Field(
        default_factory=dict,
        description="LiveKit's outbound SIP trunks, by their ids, that `POST /v1/calls` may dial on; default: none.",
    )

    _name: str = PrivateAttr("")

    @property
    def name(self) -> str:
        """Its key in the file."""
        return self._name

    def named(self, name: str) -> Self:
        """This region, now that its key is known."""
        self._name = name
        return self

    @property
    def pool_spec(self) -> PoolSpec:
        return self.pool.spec(self.name)

    @model_validator(mode="after")
    def _pods_or_processes(self) -> Self:
        if self.kubernetes is not None and self.process is not None:
            raise refused(
                "workers are either pods or processes",
                field="kubernetes",
                hint="Keep exactly one of kubernetes and process.",
            )
        return self

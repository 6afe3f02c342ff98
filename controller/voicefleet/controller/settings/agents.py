"""The settings of a region's agents: each has a pool of its own, or one for each of its versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from voicefleet.contract.dials import TRUNK_PATTERN
from voicefleet.contract.keys import REGION_PATTERN
from voicefleet.contract.parsing.validation import refused
from voicefleet.contract.rooms import ORDERED, ROOMS_PATTERN
from voicefleet.controller.settings.kubernetes import KubernetesName
from voicefleet.controller.settings.pool import PoolSettings
from voicefleet.controller.settings.rooms import choice_of_rooms
from voicefleet.controller.settings.routes import Routes
from voicefleet.controller.settings.section import Section
from voicefleet.controller.settings.tier import TierPart
from voicefleet.controller.settings.trunk import TrunkSettings

ALL = 100
"""What the weights of an agent's versions add up to."""

_Ratio = Annotated[float, Field(ge=0, lt=1)]


def _name(text: str) -> str:
    if not REGION_PATTERN.match(text):
        hint = "Use up to 32 lowercase letters, digits and hyphens."
        raise refused("not a name of an agent or a version", value=text, hint=hint)
    return text


PoolPart = Annotated[str, AfterValidator(_name)]
"""A name that becomes part of a pool's."""


class ObjectivesSettings(Section):
    """What a canary must hold to be promoted. It is rolled back as soon as it surely misses one that the stable version
    holds."""

    error_ratio: _Ratio = Field(description="Most of its turns that may end without an answer: an error or an apology.")
    ttfa_p95_s: Annotated[float, Field(gt=0, le=60)] = Field(
        description="Longest TTFA of 95 % of its turns, as the agent sees it, seconds."
    )
    silent_ratio: _Ratio = Field(description="Most of its calls in which a caller waited over 10 s for a voice.")
    crash_ratio: _Ratio = Field(description="Most of its calls whose agent was lost, or failed as it began.")
    min_calls: Annotated[int, Field(ge=1, le=1_000_000)] = Field(description="Calls that it must have had.")
    duration_s: Annotated[float, Field(ge=1, le=30 * 86_400)] = Field(
        description="Time for which it must have held them, seconds."
    )


class Workers(Section):
    """What an agent, or a version of it, has of its own; the rest is the region's."""

    command: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="What starts a worker; default: `process.command` of the region."
    )
    env: Mapping[str, str] = Field(
        default_factory=dict, repr=False, description="Environment variables of the workers, beside the region's."
    )
    deployment: KubernetesName | None = Field(
        default=None,
        description="Name of its Deployment; default: the region's `kubernetes.deployment`, then -AGENT, and -VERSION.",
    )
    pool: PoolSettings | None = Field(
        default=None, description="Its pool's size and policy, whole; default: the region's `pool`."
    )


class VersionSettings(Workers):
    """One version of an agent."""

    weight: Annotated[int, Field(ge=0, le=ALL)] = Field(
        description="Share of the new calls, percent. 0: it only keeps the calls that it has."
    )
    objectives: ObjectivesSettings | None = Field(
        default=None, description="It is a canary, and this decides whether it is promoted or rolled back."
    )
    revision: Annotated[str, Field(max_length=128)] = Field(
        default="", description="Any text, such as the image's tag. Another one is another canary: it is tried anew."
    )


class AgentSettings(TierPart, Workers):
    """One agent of a region."""

    tenants: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="Names of API keys whose calls it gets when they ask for no agent."
    )
    numbers: tuple[Annotated[str, Field(pattern=r"^\+?[0-9]{1,15}\*?$")], ...] = Field(
        default=(),
        description="Dialled numbers whose calls it gets when nothing else orders an agent, such as +4930123*; for "
        "rooms that the region's `rooms` names.",
    )
    rooms: Annotated[str, BeforeValidator(choice_of_rooms), Field(pattern=ROOMS_PATTERN)] = Field(
        default=ORDERED, description="As the region's `rooms`, for this agent alone: PREFIX* or ordered."
    )
    trunks: Mapping[Annotated[str, Field(pattern=TRUNK_PATTERN)], TrunkSettings] = Field(
        default_factory=dict, description="Outbound SIP trunks that its calls may be dialled on; each has one agent."
    )
    versions: Mapping[PoolPart, VersionSettings] = Field(
        default_factory=dict,
        description="Its versions, by name, each a pool; default: it is one pool. The weights add up to 100, and all "
        "but one that get calls have `objectives`.",
    )

    @model_validator(mode="after")
    def _weights_add_up(self) -> Self:
        if not self.versions:
            return self
        total = sum(version.weight for version in self.versions.values())
        if total != ALL:
            raise refused(
                f"the weights add up to {total}, not {ALL}",
                field="versions",
                value=", ".join(f"{name} {version.weight}" for name, version in self.versions.items()),
                hint="Give each version its share of the new calls, percent: 90 and 10.",
            )
        return self

    @model_validator(mode="after")
    def _one_is_stable(self) -> Self:
        serving = {name: version for name, version in self.versions.items() if version.weight}
        stable = [name for name, version in serving.items() if version.objectives is None]
        if len(serving) > 1 and len(stable) != 1:
            what = "several versions get calls, and none of them is without `objectives`"
            if stable:
                least = min(stable, key=lambda name: serving[name].weight)
                raise refused(
                    "a canary without objectives",
                    field=f"versions.{least}.objectives",
                    hint="Say what it must hold: error_ratio, ttfa_p95_s, silent_ratio, crash_ratio, min_calls and "
                    "duration_s; or give it weight 0.",
                )
            raise refused(what, field="versions", value=", ".join(serving), hint="Remove them from the stable one.")
        if len(serving) > 2:
            raise refused(
                "more than one canary at a time",
                field="versions",
                value=", ".join(name for name in serving if name not in stable),
                hint="Give all but one of them weight 0.",
            )
        return self

    @model_validator(mode="after")
    def _one_canary(self) -> Self:
        if self.tier_split is not None and self.canary:
            raise refused(
                f"the version {self.canary} is tried already",
                field="tier",
                hint="Try one thing at a time: give one tier, or one version all the calls.",
            )
        return self

    @property
    def stable(self) -> str:
        """The version that has proved itself; empty: there are no versions."""
        serving = [name for name, version in self.versions.items() if version.weight]
        return next((name for name in serving if self.versions[name].objectives is None), "".join(serving[:1]))

    @property
    def canary(self) -> str:
        """The version that is tried out; empty: none is."""
        return next((name for name, version in self.versions.items() if version.weight and name != self.stable), "")


def routes_of(agents: Mapping[str, AgentSettings], default_agent: str | None) -> Routes:
    """What leads to which agent."""
    return Routes(
        default=default_agent or (next(iter(agents)) if len(agents) == 1 else ""),
        tenants={tenant: name for name, agent in agents.items() for tenant in agent.tenants},
        numbers={number: name for name, agent in agents.items() for number in agent.numbers},
    )

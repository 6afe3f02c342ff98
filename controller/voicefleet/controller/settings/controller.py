"""The settings of a controller: the whole file, with its secrets looked up where it says they are."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from voicefleet.contract.call_archive import Retention
from voicefleet.contract.keys import REGION_PATTERN
from voicefleet.contract.parsing.validation import check_all, refused
from voicefleet.controller.http.auth.attempts import Network
from voicefleet.controller.http.auth.keys import ANYONE, KeyRing
from voicefleet.controller.settings.api_keys import key_ring
from voicefleet.controller.settings.call_events import RECEIVER_PATTERN, ReceiverSettings
from voicefleet.controller.settings.kubernetes import LeaseSettings
from voicefleet.controller.settings.placement import PlacementSettings
from voicefleet.controller.settings.pools import named_once
from voicefleet.controller.settings.region import RegionSettings
from voicefleet.controller.settings.region_checks import check_regions
from voicefleet.controller.settings.section import Section, Variable, variable
from voicefleet.controller.settings.tier_names import check_tiers
from voicefleet.runtime.http.server import parse_listen
from voicefleet.runtime.redis.address import has_secret, with_authority
from voicefleet.runtime.tracing import ENDPOINT_VARIABLE, check_endpoint

REPLICA_VARIABLE = "VOICEFLEET_REPLICA"


def _network(text: object) -> Network:
    try:
        return ipaddress.ip_network(str(text))
    except ValueError as error:
        raise refused("not a network", value=str(text), hint="Give for example 10.0.0.0/8 or 192.0.2.7.") from error


class LimitSettings(Section):
    """Bounds that hold for each API key that has none of its own."""

    requests_per_minute: Annotated[int, Field(ge=1)] = Field(default=600, description="Requests for calls per minute.")
    concurrent_calls: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Calls at once; 0: no bound. With one, nobody gets a ticket while Redis, which counts them, does "
        "not answer.",
    )
    max_call_duration_s: Annotated[float, Field(ge=0)] = Field(
        default=3600.0,
        description="A call is ended after this, seconds; 0: never. It holds for calls that came without a ticket too.",
    )
    unused_tickets_ratio: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5,
        description="Share of the free slots that tickets of one key may stand for before anybody joins with them; not "
        "applied where no other key places calls.",
    )
    campaigns: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=20, description="Campaigns announced by one key in one region, and not over."
    )


class CallHistorySettings(Section):
    """What is kept of calls that have ended, in each region: see `voicefleet call show`."""

    days: Annotated[float, Field(ge=0.1, le=90)] = Field(
        default=7.0, description="A call that has ended can be shown for so long, days."
    )
    calls: Annotated[int, Field(ge=100, le=5_000_000)] = Field(
        default=50_000,
        description="At most so many calls; the oldest make room. Redis needs about 1.5 KB for each.",
    )

    @property
    def retention(self) -> Retention:
        """The same for the archive of calls."""
        return Retention(kept_ms=round(self.days * 86_400_000), most=self.calls)


class Settings(Section):
    """The settings file.

    Secrets never stand in it: a field names the environment variable, or the file, that holds them.
    """

    redis_url_env: Variable | None = Field(default=None, description="Environment variable that holds Redis' address.")
    redis_url: str | None = Field(
        default=None, description="Instead of `redis_url_env`: the address itself, when there is no password in it."
    )
    redis_ca_file: Path | None = Field(
        default=None, description="Certificate of the authority that signs Redis'; default: the system's authorities."
    )
    listen: str = Field(default="127.0.0.1:8080", description="HOST:PORT of the API, the webhooks and the metrics.")
    auth: Literal["bearer", "none"] = Field(
        default="bearer",
        description="bearer: requests to /v1 need a key. none: open to everyone who reaches the controller.",
    )
    api_keys_env: Variable | None = Field(
        default=None,
        description='Environment variable that holds the API keys: "name:secret:ROLES[:REGIONS[:LIMITS]],...".',
    )
    api_keys_file: Path | None = Field(
        default=None,
        description="Instead of `api_keys_env`: a file with lines of `voicefleet keys hash`. It is read anew when it "
        "changes.",
    )
    trusted_proxies: tuple[Annotated[Network, BeforeValidator(_network)], ...] = Field(
        default=(), description="Networks whose X-Forwarded-For tells who asks."
    )
    limits: LimitSettings = Field(
        default_factory=LimitSettings, description="Bounds for each API key that has none of its own."
    )
    regions: Annotated[Mapping[str, RegionSettings], Field(min_length=1)] = Field(
        description="The regions, by name: up to 32 lowercase letters, digits and hyphens."
    )
    placement: PlacementSettings = Field(
        default_factory=PlacementSettings,
        description="Which region a call goes to whose request names none, and which calls stay where.",
    )
    call_events: Mapping[str, ReceiverSettings] = Field(
        default_factory=dict,
        max_length=4,
        description="Who is told of calls, by name, with signed webhooks: call.started, answered, moved, recovered, "
        "released, ended.",
    )
    call_history: CallHistorySettings = Field(
        default_factory=CallHistorySettings,
        description="What is kept of calls that have ended, in each region.",
    )
    kubernetes_lease: LeaseSettings | None = Field(
        default=None,
        description="The Lease by which one of several controllers scales; default: this one is the only one.",
    )
    owner: Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$")] | None = Field(
        default=None, description="NAMESPACE/RELEASE, as the annotation of our Deployments names it."
    )
    tick_s: Annotated[float, Field(ge=0.1, le=60)] = Field(
        default=2.0, description="Observe, decide and scale this often, seconds."
    )
    listing_s: Annotated[float, Field(ge=0.2, le=60)] = Field(
        default=2.0, description="List LiveKit's rooms this often, seconds. Webhooks tell most of it sooner."
    )
    waiting_grace_s: Annotated[float, Field(ge=0, le=60)] = Field(
        default=1.0, description="A caller without an agent for so long is a waiting call, seconds."
    )

    _redis_address: str = PrivateAttr("")
    _keys: KeyRing = PrivateAttr(default_factory=KeyRing)
    _otlp_endpoint: str = PrivateAttr("")
    _replica: str = PrivateAttr("")
    _pools: Mapping[str, RegionSettings] = PrivateAttr(default_factory=dict)

    @property
    def redis_address(self) -> str:
        """Redis' whole address, with its password."""
        return self._redis_address

    @property
    def redis_field(self) -> str:
        """The field that names the address, for messages."""
        return "redis_url" if self.redis_url_env is None else "redis_url_env"

    @property
    def host(self) -> str:
        return parse_listen(self.listen, field="listen")[0]

    @property
    def port(self) -> int:
        return parse_listen(self.listen, field="listen")[1]

    @property
    def keys(self) -> KeyRing:
        """As they were at the start; see `api_keys_file`."""
        return self._keys

    @property
    def pools(self) -> Mapping[str, RegionSettings]:
        """The settings of each pool, by its name: the regions, with one of each version of each agent where a region
        has `agents`."""
        return self._pools

    @property
    def otlp_endpoint(self) -> str:
        """Where traces go, OTLP over HTTP; empty: there are none."""
        return self._otlp_endpoint

    @property
    def replica(self) -> str:
        """Name of this controller among its replicas."""
        return self._replica

    @property
    def secret_variables(self) -> tuple[str, ...]:
        """Environment variables that workers must not inherit."""
        livekits = [region.livekit for region in self.regions.values()]
        keys = [name for livekit in livekits for name in (livekit.api_key_env, livekit.api_secret_env)]
        keys += [receiver.secret_env for receiver in self.call_events.values()]
        return tuple(name for name in (self.api_keys_env, self.redis_url_env, *keys) if name)

    @field_validator("regions")
    @classmethod
    def _name_regions(cls, regions: Mapping[str, RegionSettings]) -> Mapping[str, RegionSettings]:
        for name in regions:
            if not REGION_PATTERN.match(name):
                hint = "Use up to 32 lowercase letters, digits and hyphens."
                raise refused("not a region's name", field=name, value=name, hint=hint)
        return {name: region.named(name) for name, region in regions.items()}

    @field_validator("call_events")
    @classmethod
    def _name_receivers(cls, receivers: Mapping[str, ReceiverSettings]) -> Mapping[str, ReceiverSettings]:
        for name in receivers:
            if not re.match(RECEIVER_PATTERN, name):
                hint = "Use up to 32 lowercase letters, digits and hyphens."
                raise refused("not a receiver's name", field=name, value=name, hint=hint)
        return {name: receiver.named(name) for name, receiver in receivers.items()}

    @model_validator(mode="after")
    def _resolve(self, info: ValidationInfo) -> Self:
        environment: Mapping[str, str] = info.context or {}
        check_all(
            lambda: parse_listen(self.listen, field="listen"),
            lambda: self._read_address(info),
            self._read_pools,
            lambda: self._read_keys(info),
            lambda: check_endpoint(environment.get(ENDPOINT_VARIABLE, "")),
        )
        keys = {ANYONE.name} if self.auth == "none" else {key.name for key in self._keys.keys}
        check_regions(self.regions, self.placement, keys, environment)
        self._otlp_endpoint = check_endpoint(environment.get(ENDPOINT_VARIABLE, ""))
        self._replica = environment.get(REPLICA_VARIABLE, "").strip() or f"{socket.gethostname()}-{os.getpid()}"
        return self

    def _read_address(self, info: ValidationInfo) -> None:
        self.require_one_of("redis_url", "redis_url_env")
        if self.redis_url is not None and has_secret(self.redis_url):
            raise refused(
                "has a password in it, and this file is no place for secrets",
                field="redis_url",
                hint="Put the address in an environment variable and name that in redis_url_env.",
            )
        address = self.redis_url or ""
        if self.redis_url_env is not None:
            address = variable(info, self.redis_url_env)
        self._redis_address = with_authority(address, str(self.redis_ca_file or ""), field="redis_ca_file")

    def _read_pools(self) -> None:
        self._pools = named_once(self.regions)
        check_tiers(self._pools)

    def _read_keys(self, info: ValidationInfo) -> None:
        self._keys = key_ring(
            auth=self.auth,
            file=self.api_keys_file,
            variable=self.api_keys_env,
            value=lambda name: variable(info, name),
            regions=self.regions,
        )

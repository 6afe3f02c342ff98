"""The regions of the settings, each with its LiveKit, its stores and its traces."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping

from voicefleet.contract.errors import UnknownStateError, UnreachableError
from voicefleet.controller.adapters.livekit import LiveKit
from voicefleet.controller.calls.call_store import CallStore
from voicefleet.controller.calls.dial_store import DialStore
from voicefleet.controller.health.incident_store import IncidentStore
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.pool.campaign_store import CampaignStore
from voicefleet.controller.pool.model_store import ModelStore
from voicefleet.controller.pool.worker_store import WorkerStore
from voicefleet.controller.ports import CredentialsRefusedError
from voicefleet.controller.regions.region import Region
from voicefleet.controller.settings.controller import Settings
from voicefleet.controller.wiring.canaries import open_tier_trials, open_trials
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.redis.connection import RedisClient, Scripts
from voicefleet.runtime.tracing import OtlpTracer, start_tracing


def open_regions(
    stack: contextlib.AsyncExitStack, settings: Settings, redis: RedisClient, clock: Clock, metrics: Metrics
) -> dict[str, Region]:
    """Every region, without a fleet, until `stack` is closed."""
    tracer = start_tracing(settings.otlp_endpoint, "voicefleet-controller", {}, metrics.registry)
    if isinstance(tracer, OtlpTracer):
        stack.callback(tracer.close)
    regions: dict[str, Region] = {}
    servers = Counter(region.livekit.http_url for region in settings.pools.values())
    for name, region in settings.pools.items():
        metrics.open_region(name)
        shared = bool(region.place.agent) or servers[region.livekit.http_url] > 1
        livekit = LiveKit(region.livekit, region.agent_name, shared=shared)
        stack.push_async_callback(livekit.close)
        regions[name] = Region(
            settings=region,
            livekit=livekit,
            calls=CallStore(
                redis,
                Scripts(redis),
                name,
                grace_ms=round(settings.waiting_grace_s * 1000),
                retention=settings.call_history.retention,
            ),
            workers=WorkerStore(redis, name),
            models=ModelStore(redis, name),
            campaigns=CampaignStore(redis, name),
            dials=DialStore(redis, Scripts(redis), name),
            fleet=None,
            clock=clock,
            metrics=metrics,
            tracer=tracer,
            replica=settings.replica,
            incident_store=IncidentStore(redis, name),
        )
    open_trials(settings, regions, redis)
    open_tier_trials(regions)
    return regions


async def check_livekit(regions: Mapping[str, Region]) -> None:
    """Ask every LiveKit once. One that does not answer is left unknown, as long as another does."""

    async def ask(region: Region) -> UnreachableError | None:
        livekit = region.settings.livekit
        at = f"regions.{region.place}.livekit"
        try:
            await region.livekit.list_rooms()
        except CredentialsRefusedError as error:
            raise UnreachableError(
                "LiveKit refuses our credentials",
                field=f"{at}.api_key",
                value=livekit.key,
                hint="Give the key and secret from that server's `keys`.",
            ) from error
        except UnknownStateError as error:
            region.reads.failed("listing", error)
            failure = UnreachableError(
                "LiveKit does not answer",
                field=f"{at}.api_url",
                value=livekit.http_url,
                hint="Start LiveKit there, or give the address of one that runs.",
            )
            failure.__cause__ = error
            return failure
        return None

    failures = [failure for region in regions.values() if (failure := await ask(region))]
    if len(failures) == len(regions):
        raise failures[0]

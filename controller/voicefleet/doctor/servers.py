"""Checks of the servers that the environment names: reachability, credentials, clocks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from livekit import api
from pydantic import ValidationError

from voicefleet.contract.api import RegionView
from voicefleet.contract.errors import UnknownStateError, UnreachableError, UsageError
from voicefleet.contract.health import HealthState
from voicefleet.doctor.settings import Surroundings
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.command.finding import Finding, failure, ok, warning
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.runtime.redis.address import shown_address
from voicefleet.runtime.redis.connection import REDIS_FAILURES, RedisClient, check_redis, connect_redis

MAX_SKEW_S = 30.0
"""livekit-server refuses tokens of a clock more than a minute off; half of that is time to act."""

_LIVEKIT_TIMEOUT_S = 5.0


async def check_servers(around: Surroundings, clock: Clock) -> AsyncIterator[Finding]:
    """Ask Redis, LiveKit and the controller, as far as the environment names them."""
    if around.redis_url:
        async for finding in _redis(around.redis_url, clock):
            yield finding
    else:
        yield warning("redis", "no address given", "Set VOICEFLEET_REDIS_URL to check yours.")
    if around.livekit_url:
        yield await _livekit(around)
    else:
        yield warning("livekit", "no address given", "Set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.")
    if around.controller_url:
        for finding in await _controller(around.controller_url, around.controller_key):
            yield finding


async def _redis(url: str, clock: Clock) -> AsyncIterator[Finding]:
    try:
        client = connect_redis(url)
    except UsageError as error:
        yield failure("redis", error.what, error.hint)
        return
    try:
        await check_redis(client, url, field="VOICEFLEET_REDIS_URL")
        yield ok("redis", f"answers at {shown_address(url)}")
        yield await _skew(client, clock)
        yield await _eviction(client)
    except UsageError as error:
        yield failure("redis", f"{error.what} at {shown_address(url)}", error.hint)
    except REDIS_FAILURES as error:
        yield failure("redis", f"stopped answering ({type(error).__name__})", "Look at its log.")
    finally:
        await client.aclose()


async def _skew(client: RedisClient, clock: Clock) -> Finding:
    before = clock.wall().timestamp()
    seconds, micros = await client.time()
    after = clock.wall().timestamp()
    skew_s = seconds + micros / 1e6 - (before + after) / 2
    if abs(skew_s) > MAX_SKEW_S:
        return failure("clock", f"{skew_s:+.1f} s from Redis's", "Set both clocks by NTP: LiveKit refuses tokens.")
    return ok("clock", f"{skew_s:+.3f} s from Redis's")


async def _eviction(client: RedisClient) -> Finding:
    try:
        policy = (await client.config_get("maxmemory-policy")).get("maxmemory-policy", "")
    except REDIS_FAILURES:
        return warning("redis policy", "not shown to us", "Make sure that its maxmemory-policy is noeviction.")
    if policy != "noeviction":
        return failure("redis policy", str(policy), "Set maxmemory-policy to noeviction: a lost claim is a lost call.")
    return ok("redis policy", str(policy))


async def _livekit(around: Surroundings) -> Finding:
    where = around.livekit_url
    if not (around.livekit_api_key and around.livekit_api_secret):
        return failure("livekit", f"no key and secret for {where}", "Set LIVEKIT_API_KEY and LIVEKIT_API_SECRET.")
    try:
        async with api.LiveKitAPI(
            where,
            around.livekit_api_key,
            around.livekit_api_secret,
            timeout=aiohttp.ClientTimeout(total=_LIVEKIT_TIMEOUT_S),
        ) as client:
            rooms = await client.room.list_rooms(api.ListRoomsRequest())
    except api.TwirpError as error:
        if error.status in (401, 403):
            return failure(
                "livekit", f"{where} refuses our key and secret", "Set LIVEKIT_API_KEY and LIVEKIT_API_SECRET."
            )
        return failure("livekit", f"{where} answers {error.status}", "Look at its log.")
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        return failure("livekit", f"no answer at {where} ({type(error).__name__})", "Start it, or correct LIVEKIT_URL.")
    return ok("livekit", f"answers at {where}, {len(rooms.rooms)} rooms")


async def _controller(url: str, key: str) -> list[Finding]:
    try:
        async with ControllerClient(url, key=key) as client:
            regions = await client.regions()
    except UnknownStateError as error:
        return [failure("controller", f"{url}: {error}", "Start it, or correct VOICEFLEET_CONTROLLER_URL.")]
    except UnreachableError as error:
        hint = "Set VOICEFLEET_CONTROLLER_KEY to a key of the controller that may read."
        return [failure("controller", f"{url} refuses our key ({error.value}): {error.what}", hint)]
    except ValidationError:
        return [failure("controller", f"{url} is no voicefleet controller of this version", "Correct the address.")]
    return [ok("controller", f"answers at {url}, {len(regions)} regions"), *(_region(view) for view in regions)]


def _region(view: RegionView) -> Finding:
    """What the controller says of one region, by its worst finding."""
    subject = f"region {view.region}"
    if not view.findings:
        return ok(subject, view.status)
    worst, more = view.findings[0], len(view.findings) - 1
    found = f"{view.status}: {worst.cause}" + (f" (and {more} more, see `voicefleet status`)" if more else "")
    say = failure if view.status == HealthState.FAILING else warning
    return say(subject, found, worst.hint)

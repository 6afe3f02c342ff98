"""Checks before a worker registers: wrong credentials and addresses are errors at once, and are not retried."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterator

import aiohttp
from livekit import api

from voicefleet.contract.errors import UnreachableError
from voicefleet.runtime.clock import Clock

PATIENCE_S = 10.0
"""How long a server that does not answer yet is waited for: it may be starting beside us."""


@contextlib.contextmanager
def defaults_told(unset: Collection[str]) -> Iterator[None]:
    """Of a variable that is not set, an error says so, instead of showing its default as if somebody had set it.

    Raises:
        UnreachableError: the block did.
    """
    try:
        yield
    except UnreachableError as error:
        if error.field not in unset or error.value is None:
            raise
        what = f"is not set, and its default is {error.value}: {error.what}"
        raise UnreachableError(what, field=error.field, hint=f"Set it. Else: {error.hint}") from error


async def check_livekit(url: str, key: str, secret: str, *, clock: Clock, patience_s: float = PATIENCE_S) -> None:
    """Ask LiveKit for its rooms with our credentials.

    Raises:
        UnreachableError: refused, or no answer within `patience_s`.
    """
    if not secret:
        raise UnreachableError(
            "no secret is given",
            field="LIVEKIT_API_SECRET",
            hint="Set it to the secret of the key in LIVEKIT_API_KEY.",
        )
    deadline = clock.monotonic() + patience_s
    timeout = aiohttp.ClientTimeout(total=5.0)
    while True:
        try:
            async with api.LiveKitAPI(url, key, secret, timeout=timeout) as client:
                await client.room.list_rooms(api.ListRoomsRequest(names=["voicefleet-preflight"]))
            return
        except api.TwirpError as error:
            if error.status in (401, 403):
                raise UnreachableError(
                    "LiveKit refuses our key and secret",
                    field="LIVEKIT_API_KEY",
                    value=key,
                    hint=f"Set LIVEKIT_API_KEY and LIVEKIT_API_SECRET to a pair that {url} knows.",
                ) from error
            failure: Exception = error
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            failure = error
        if clock.monotonic() >= deadline or isinstance(failure, ValueError | aiohttp.InvalidURL):
            raise UnreachableError(
                f"no LiveKit server answers there ({type(failure).__name__})",
                field="LIVEKIT_URL",
                value=url,
                hint="Start the server, or give the address of one that runs (ws://HOST:PORT or wss://HOST).",
            ) from failure
        await asyncio.sleep(0.25)

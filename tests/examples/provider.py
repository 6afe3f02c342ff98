"""The avatar provider that the agent `avatar` asks: `avatar_provider.py` in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from examples.catalogue import FOLDER
from voicefleet.runtime.supervisor.children import Child
from voicefleet.runtime.supervisor.ports import Ports

START_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class AvatarProvider:
    """Where it listens; empty: it was not wanted."""

    url: str = ""

    @property
    def environment(self) -> Mapping[str, str]:
        """What an agent finds it by."""
        return {"AVATAR_URL": self.url} if self.url else {}

    async def avatars(self) -> int:
        """Avatars that are in a room now."""
        async with aiohttp.ClientSession(raise_for_status=True) as http, http.get(f"{self.url}/avatars") as answer:
            return int((await answer.json())["avatars"])


@contextlib.asynccontextmanager
async def avatar_provider(log_dir: Path, *, wanted: bool) -> AsyncIterator[AvatarProvider]:
    """Run it for the block, if it is wanted.

    Raises:
        TimeoutError: it does not answer.
    """
    if not wanted:
        yield AvatarProvider()
        return
    log_dir.mkdir(parents=True, exist_ok=True)
    with Ports() as ports:
        port = ports.tcp()
        provider = AvatarProvider(f"http://127.0.0.1:{port}")
        program = Child(
            "avatar-provider",
            [sys.executable, FOLDER / "avatar_provider.py", str(port)],
            log_path=log_dir / "avatar-provider.log",
        )
        try:
            async with asyncio.timeout(START_LIMIT_S):
                while not await _answers(provider):
                    await asyncio.sleep(0.1)
            yield provider
        finally:
            await program.stop()


async def _answers(provider: AvatarProvider) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        await provider.avatars()
        return True
    return False

"""A list kept current by a watch, in virtual time, against answers as the API gives them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.virtual_time import LoopClock, now_s, run
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.adapters.kubernetes.client import KubernetesError, refusal
from voicefleet.controller.adapters.kubernetes.reflector import Reflector
from voicefleet.runtime.tasks import cancel_and_wait

pytestmark = pytest.mark.unit


class Answer:
    """An aiohttp answer: a body, or lines that come until the window ends."""

    def __init__(self, status: int, body: bytes = b"", lines: list[bytes] | None = None, hangs: bool = False) -> None:
        self.status, self._body, self._lines, self._hangs = status, body, lines or [], hangs
        self.headers = {"Date": "Thu, 01 Jan 1970 00:16:40 GMT"}
        self.content = self

    async def read(self) -> bytes:
        return self._body

    async def readline(self) -> bytes:
        if self._lines:
            return self._lines.pop(0)
        await asyncio.sleep(1e6 if self._hangs else 1.0)
        return b""

    def close(self) -> None:
        pass


class Server:
    """Objects by uid, and what the next watches answer. Nothing to answer: an empty window."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 1
        self.watches: list[Answer | Exception] = []
        self.lists = 0
        self.down = False
        self.watched_from: list[str] = []

    async def request(self, **watch: Any) -> Answer:
        if self.down:
            raise OSError("connection refused")
        if not watch:
            self.lists += 1
            found = {"metadata": {"resourceVersion": str(self.version)}, "items": list(self.objects.values())}
            return Answer(200, json.dumps(found).encode())
        self.watched_from.append(watch["resource_version"])
        answer = self.watches.pop(0) if self.watches else Answer(200)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def put(self, uid: str, **more: Any) -> bytes:
        known = uid in self.objects
        self.version += 1
        self.objects[uid] = {"metadata": {"uid": uid, "resourceVersion": str(self.version)}, **more}
        return line("MODIFIED" if known else "ADDED", self.objects[uid])

    def delete(self, uid: str) -> bytes:
        self.version += 1
        return line("DELETED", self.objects.pop(uid))


def line(kind: str, manifest: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": manifest}).encode() + b"\n"


class Cluster:
    """As `client.Cluster`: the connection's errors become ours."""

    @contextlib.asynccontextmanager
    async def requesting(self, what: str, within_s: float) -> AsyncIterator[Any]:
        try:
            async with asyncio.timeout(within_s):
                yield None
        except (OSError, TimeoutError) as error:
            raise KubernetesError(f"cannot {what}: {error}") from error


def keep(manifest: dict[str, Any]) -> str | None:
    if manifest.get("odd"):
        raise ValueError("a manifest that cannot be read")
    return str(manifest.get("value", "")) if not manifest.get("foreign") else None


Change = tuple[str | None, str | None]


@contextlib.asynccontextmanager
async def watching(server: Server, changes: list[Change] | None = None) -> AsyncIterator[Reflector[str]]:
    told = changes if changes is not None else []
    cache: Reflector[str] = Reflector(
        Cluster(),  # type: ignore[arg-type]
        "things",
        lambda client: server.request,
        keep,
        LoopClock(),
        changed=lambda before, after: told.append((before, after)),
    )
    task = asyncio.create_task(cache.run())
    try:
        yield cache
    finally:
        await cancel_and_wait([task])


def test_it_follows_and_tells() -> None:
    async def story() -> None:
        server, changes = Server(), list[Change]()
        server.put("a", value="1")
        server.put("other", foreign=True)
        async with watching(server, changes) as cache:
            await asyncio.sleep(0.1)
            assert cache.items == {"a": "1"}
            server.watches = [Answer(200, lines=[server.put("b", value="2"), server.put("a", value="3")])]
            await asyncio.sleep(2.0)
            assert cache.items == {"a": "3", "b": "2"}
            server.watches = [
                Answer(200, lines=[server.delete("a"), line("BOOKMARK", {"metadata": {"resourceVersion": "90"}})])
            ]
            await asyncio.sleep(3.0)
            assert cache.items == {"b": "2"}
            assert changes == [(None, "1"), (None, "2"), ("1", "3"), ("3", None)]
            assert server.lists == 1
            assert server.watched_from[-1] == "90"

    run(story())


def test_a_silent_watch_is_confirmed_by_its_end() -> None:
    async def story() -> None:
        async with watching(Server()) as cache:
            for _ in range(40):
                await asyncio.sleep(0.5)
                cache.confirmed(1.5)
            assert cache.server_s() == pytest.approx(1000.0 + now_s(), abs=1.0)

    run(story())


def test_a_version_that_is_too_old_means_listing_anew() -> None:
    async def story() -> None:
        server, changes = Server(), list[Change]()
        server.put("a", value="1")
        expired = Answer(200, lines=[line("ERROR", {"code": 410, "message": "too old resource version"})])
        async with watching(server, changes) as cache:
            await asyncio.sleep(0.1)
            server.watches = [expired, Answer(410, b'{"message": "gone"}')]
            server.delete("a")
            server.put("b", value="2")
            await asyncio.sleep(4.0)
            assert (cache.items, server.lists) == ({"b": "2"}, 3)
            assert sorted(changes[1:], key=str) == [("1", None), (None, "2")]
            cache.confirmed(2.0)

    run(story())


def test_a_server_that_is_away_or_silent_makes_it_unknown_and_never_empty() -> None:
    async def story() -> None:
        server = Server()
        server.put("a", value="1")
        async with watching(server) as cache:
            with pytest.raises(UnknownStateError, match="things: not read yet"):
                cache.confirmed(10.0)
            await asyncio.sleep(0.1)
            server.down = True
            await asyncio.sleep(30.0)
            with pytest.raises(UnknownStateError, match=r"not confirmed for 29 s: .*connection refused"):
                cache.confirmed(10.0)
            assert cache.items == {"a": "1"}
            server.down = False
            await asyncio.sleep(6.0)
            cache.confirmed(2.0)
            server.watches = [Answer(200, hangs=True)]
            await asyncio.sleep(11.0)
            with pytest.raises(UnknownStateError):
                cache.confirmed(8.0)
            await asyncio.sleep(3.0)
            cache.confirmed(2.0)

    run(story())


def test_an_error_of_ours_does_not_end_it() -> None:
    async def story() -> None:
        server = Server()
        async with watching(server) as cache:
            await asyncio.sleep(0.1)
            server.watches = [Answer(200, lines=[server.put("a", odd=True)])]
            await asyncio.sleep(2.0)
            assert cache.failure is not None
            server.put("a", value="1")
            await asyncio.sleep(10.0)
            assert cache.items == {"a": "1"}
            cache.confirmed(2.0)

    run(story())


def test_it_does_not_ask_all_the_time() -> None:
    async def story() -> None:
        server = Server()
        server.down, asked = True, 0
        request = server.request

        async def counted(**watch: Any) -> Answer:
            nonlocal asked
            asked += 1
            return await request(**watch)

        server.request = counted  # type: ignore[method-assign]
        async with watching(server):
            await asyncio.sleep(60.0)
            assert asked < 25

    run(story())


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, b'{"message": "pods is forbidden"}', "cannot read: 403 pods is forbidden. Bind the Role of the chart"),
        (401, b"", "cannot read: 401 . Renew the credentials"),
        (500, b"<html>proxy</html>", "cannot read: 500 <html>proxy</html>"),
        (409, b'["odd"]', 'cannot read: 409 ["odd"]'),
    ],
)
def test_a_refusal_says_why_and_what_to_do(status: int, body: bytes, said: str) -> None:
    error = refusal("read", status, body)
    assert error.status == status
    assert str(error).startswith(said)

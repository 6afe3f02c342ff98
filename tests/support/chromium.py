"""A headless Chromium of a test, driven over its debugging protocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from voicefleet.contract.errors import MissingPartError
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack.find import find_chromium

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # Otherwise it asks the network for this and that by itself.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
    "--window-size=1280,1500",
)
_START_LIMIT_S = 90.0


class Page:
    """One tab. `said` has what it wrote to its console as errors, and what its network refused."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.said: list[str] = []
        self.requests: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if (number := told.get("id")) in self._answers:
                self._answers.pop(number).set_result(told)
            elif told.get("method") == "Runtime.exceptionThrown":
                self.said.append(json.dumps(told["params"]["exceptionDetails"])[:500])
            elif told.get("method") == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                self.said.append(told["params"]["entry"]["text"])
            elif told.get("method") == "Network.requestWillBeSent":
                self.requests.append(told["params"]["request"]["url"])

    async def command(self, method: str, **params: Any) -> Any:
        """One command of the protocol, and its result."""
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        await self._socket.send_json({"id": number, "method": method, "params": params})
        told = await asyncio.wait_for(answer, 60)
        assert "error" not in told, told
        return told["result"]

    async def open(self, url: str) -> None:
        """Load `url`."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.command(f"{domain}.enable")
        await self.command("Page.navigate", url=url)

    async def evaluate(self, script: str) -> Any:
        """The value of a script."""
        told = await self.command("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, script: str, limit_s: float = 30.0) -> None:
        """Wait until a script's value is true."""
        try:
            async with asyncio.timeout(limit_s):
                # While a page loads, what a script asks for is not there yet.
                while not await self.evaluate(f"(() => {{ try {{ return {script} }} catch {{ return false }} }})()"):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            text = await self.evaluate("document.body.innerText")
            pytest.fail(f"{script} is not true after {limit_s} s; the page says:\n{text}\n{self.said}")

    async def screenshot(self, path: Path) -> None:
        """A PNG of what is seen."""
        shot = await self.command("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    async def close(self) -> None:
        self._reading.cancel()
        await self._socket.close()


@contextlib.asynccontextmanager
async def chromium_page(directory: Path) -> AsyncIterator[Page]:
    """A tab of a new Chromium; where it is not installed, skip (in CI: fail)."""
    try:
        program = find_chromium().path
    except MissingPartError as error:
        if environment().get("CI"):
            raise
        pytest.skip(f"{error} Or run `make setup` as root.")
    profile = directory / "profile"
    child = Child(
        "chromium",
        [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        log_path=directory / "chromium.log",
    )
    async with running(child):
        port = profile / "DevToolsActivePort"
        async with asyncio.timeout(_START_LIMIT_S):
            while not port.exists() or not port.read_text().strip():
                assert child.alive, child.log_tail()
                await asyncio.sleep(0.1)
        number = port.read_text().splitlines()[0]
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{number}/json") as answer:
                tabs = await answer.json(content_type=None)
            target = next(tab for tab in tabs if tab["type"] == "page")
            socket = await http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0)
            page = Page(socket)
            try:
                yield page
            finally:
                await page.close()

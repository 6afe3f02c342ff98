"""The controller's page in a real browser: closed without a key, alive with one, and quiet about strange words."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import aiohttp
import pytest

from support.chromium import Page, chromium_page
from support.controlling import API_KEYS, Running, caller, controller
from voicefleet.contract.metrics.kinds import LATENCY_S
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack import servers

pytestmark = pytest.mark.browser

KEY, CALLS = "the-secret-of-who-sees", "the-secret-of-who-calls"
KEYS = f"{API_KEYS},sees:{KEY}:read,calls:{CALLS}:call"
FAST, SLOW = [0] * (len(LATENCY_S) + 1), [0] * (len(LATENCY_S) + 1)
FAST[4], SLOW[4], SLOW[8] = 40, 60, 12


async def test_the_shell_is_public_and_its_data_is_not(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str
) -> None:
    async with controller(tmp_path, livekit, redis_url) as running, aiohttp.ClientSession() as http:
        for path, kind in (
            ("/", "text/html"),
            ("/page.css", "text/css"),
            ("/page.js", "text/javascript"),
            ("/call.js", "text/javascript"),
        ):
            async with http.get(running.url + path) as answer:
                assert answer.status == 200
                assert answer.content_type == kind
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                assert len(await answer.read()) < 20_000
        async with http.get(running.url + "/v1/history") as answer:
            assert answer.status == 401


async def test_the_page_shows_the_fleet(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> None:
    async with (
        controller(tmp_path, livekit, redis_url, keys=KEYS) as running,
        running.worker("worker-<b>1</b>", live=2, slots=2, silent=1, ttfa=FAST) as one,
        running.worker("worker-2", live=1, slots=2, ttfa=FAST),
        chromium_page(tmp_path) as page,
        contextlib.AsyncExitStack() as callers,
    ):
        for _ in range(2):
            ticket = await running.ticket(region="eu")
            await callers.enter_async_context(caller(ticket["url"], ticket["token"]))
        await page.open(running.url + "/")
        await page.until("!document.querySelector('#login').hidden")
        assert await page.evaluate("document.querySelector('#fleet').hidden")
        await page.until("document.querySelector('#state').textContent.startsWith('the fleet is ')")
        assert KEY not in await page.evaluate("document.documentElement.outerHTML")

        await _log_in(page, "wrong")
        await page.until("document.querySelector('#state').textContent.includes('not valid')")
        await _log_in(page, CALLS)
        await page.until("document.querySelector('#state').textContent.includes('lacks the role read')")
        await _log_in(page, KEY)
        await page.until("!document.querySelector('#fleet').hidden")
        one["ttfa"] = SLOW
        await page.until("document.querySelectorAll('#workers tbody tr').length == 2")
        text = "document.querySelector('#workers').textContent"
        await page.until(f"{text}.includes('worker-<b>1</b>')")
        assert await page.evaluate("document.querySelector('#workers b') === null"), "text, never HTML"
        await page.until("document.querySelectorAll('#calls tbody td.bad').length == 2")
        tiles = "[...document.querySelectorAll('.tile')].map(t => t.textContent).join('|')"
        await page.until(f"{tiles}.includes('2callers waiting') && {tiles}.includes('1callers in silence')")
        wrong = "document.querySelector('#findings').textContent"
        await page.until(f"{wrong}.includes('eu is failing: 2 callers wait') && {wrong}.includes('heard no voice')")
        await page.until("document.querySelector('#incidents').textContent.includes('started')")
        await _shows_one_call(page)
        await page.until("document.querySelectorAll('#charts svg').length == 3")
        await page.until("document.querySelector('#regions').textContent.match(/0\\.\\d+ s/) !== null")
        await page.until("document.querySelector('#decisions tbody').rows.length >= 1")
        await asyncio.sleep(12)  # a curve has more than one point
        await page.screenshot(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 20_000
        if (kept := environment().get("VOICEFLEET_SCREENSHOTS")) is not None:
            (Path(kept) / "page.png").write_bytes((tmp_path / "page.png").read_bytes())
        assert [said for said in page.said if not any(code in said for code in ("401", "403", "404"))] == []
        assert {url for url in page.requests if not url.startswith((running.url, "data:"))} == set()
        await _survives_an_outage(page, running)


async def _log_in(page: Page, key: str) -> None:
    await page.evaluate(f"document.querySelector('#token').value = {key!r}")
    await page.evaluate("document.querySelector('#login').requestSubmit()")


async def _shows_one_call(page: Page) -> None:
    """A click on a call in the list shows its silences with their reason, and its timeline; so does its name."""
    story = "document.querySelector('#story').textContent"
    await page.evaluate("document.querySelector('#calls tbody tr').click()")
    await page.until(f"{story}.includes('without an agent') && {story}.includes('caller joined')")
    await page.evaluate("document.querySelector('#silent-calls').click()")
    await page.until("document.querySelector('#past').textContent.includes('no such call')")
    await page.evaluate("document.querySelector('#call-name').value = 'nobody'")
    await page.evaluate("document.querySelector('#find-call').requestSubmit()")
    await page.until("document.querySelector('#story-said').textContent.includes('no such call')")
    assert await page.evaluate("document.querySelector('#story').hidden")


async def _survives_an_outage(page: Page, running: Running) -> None:
    """Without its controller the page says so, and keeps what it showed."""
    await page.command(
        "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0
    )
    await page.until("document.querySelector('#state').textContent.includes('does not answer')")
    assert await page.evaluate("document.querySelectorAll('#workers tbody tr').length") == 2
    await page.command(
        "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )
    await page.until("document.querySelector('#state').textContent.includes('as of')")
    assert running.url

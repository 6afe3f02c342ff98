"""Turns at once: more while the other side answers, fewer when it does not, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from support.virtual_time import LoopClock, now_s, run
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.calls.concurrency import AdaptiveLimit

pytestmark = pytest.mark.unit


class Server:
    """Answers after `takes_s`, or fails."""

    def __init__(self, takes_s: float = 0.1) -> None:
        self.takes_s, self.fails, self.at_once, self.most, self.served = takes_s, False, 0, 0, 0

    async def ask(self, flow: AdaptiveLimit) -> None:
        async with flow.turn():
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            try:
                await asyncio.sleep(self.takes_s)
                if self.fails:
                    raise UnknownStateError("no")
                self.served += 1
            finally:
                self.at_once -= 1


async def ask_all(server: Server, flow: AdaptiveLimit, count: int) -> None:
    await asyncio.gather(*(server.ask(flow) for _ in range(count)), return_exceptions=True)


def test_1000_turns_of_200_ms_take_less_than_two_seconds() -> None:
    async def story() -> None:
        server, flow = Server(0.2), AdaptiveLimit(LoopClock(), least=64, most=256, slow_s=1.5)
        await ask_all(server, flow, 1_000)
        assert (server.served, server.most) == (1_000, 256)
        assert now_s() <= 1.4

    run(story())


def test_a_server_that_fails_gets_half_as_many_once_for_all_that_were_under_way() -> None:
    async def story() -> None:
        server, flow = Server(), AdaptiveLimit(LoopClock(), least=4, most=64, slow_s=1.0)
        await ask_all(server, flow, 500)
        assert flow.limit == 64
        server.fails = True
        await ask_all(server, flow, 64)
        assert flow.limit == 32
        await ask_all(server, flow, 1_000)
        assert flow.limit == 4
        server.fails = False
        await ask_all(server, flow, 100)
        assert flow.limit > 4

    run(story())


def test_a_slow_server_gets_no_more_and_few_askers_raise_nothing() -> None:
    async def story() -> None:
        server, flow = Server(2.0), AdaptiveLimit(LoopClock(), least=4, most=64, slow_s=1.0)
        await ask_all(server, flow, 40)
        assert flow.limit == 4
        server.takes_s = 0.1
        for _ in range(50):
            await server.ask(flow)
        assert flow.limit == 4

    run(story())


def test_whoever_gives_up_waiting_leaves_the_turn_to_the_next() -> None:
    async def story() -> None:
        server, flow = Server(1.0), AdaptiveLimit(LoopClock(), least=1, most=1, slow_s=1.0)
        first, second, third = (asyncio.create_task(server.ask(flow)) for _ in range(3))
        await asyncio.sleep(0.5)
        second.cancel()
        await asyncio.sleep(0.5)  # the very moment in which the first one's turn ends
        third_or_nobody = asyncio.create_task(server.ask(flow))
        with contextlib.suppress(asyncio.CancelledError):
            await second
        await asyncio.gather(first, third, third_or_nobody)
        assert server.served == 3
        cancelled_at_once = asyncio.create_task(server.ask(flow))
        waiting = asyncio.create_task(server.ask(flow))
        await asyncio.sleep(0.2)
        cancelled_at_once.cancel()
        waiting.cancel()
        await asyncio.gather(cancelled_at_once, waiting, return_exceptions=True)
        await server.ask(flow)
        assert server.served == 4

    run(story())

"""One controller for each pool of processes: who gets the lease, who waits, who is refused. In virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.virtual_time import LoopClock, now_s, run
from voicefleet.contract.errors import ConfigError, UnknownStateError
from voicefleet.controller.adapters.processes.pool_lease import LEASE_S, RENEW_EVERY_S, PoolLease
from voicefleet.runtime.tasks import cancel_and_wait

pytestmark = pytest.mark.unit


@dataclass
class Store:
    """The lease as Redis would keep it."""

    held_by: str = ""
    until_s: float = 0.0
    away: bool = False

    async def hold(self, holder: str, for_s: float) -> bool:
        if await self.holder() not in ("", holder):
            return False
        self.held_by, self.until_s = holder, now_s() + for_s
        return for_s > 0

    async def holder(self) -> str:
        if self.away:
            raise UnknownStateError("Redis did not answer")
        return self.held_by if now_s() < self.until_s else ""


def lease(store: Store, directory: Path) -> PoolLease:
    return PoolLease(store, "eu", directory, LoopClock(), field="regions.eu.process.state_dir")


def test_a_second_controller_with_another_directory_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    async def story() -> None:
        store = Store()
        first, second = lease(store, tmp_path / "one"), lease(store, tmp_path / "two")
        await first.take()
        renewing = asyncio.ensure_future(first.run())
        with pytest.raises(ConfigError) as caught:
            await second.take()
        assert now_s() < LEASE_S + 2.0
        assert f"state directory {tmp_path / 'one'} on " in str(caught.value)
        assert caught.value.field == "regions.eu.process.state_dir"
        assert first.refusal == ""
        await cancel_and_wait([renewing])

    run(story())


def test_one_that_was_killed_and_starts_again_has_it_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        store = Store()
        await lease(store, tmp_path).take()
        await lease(store, tmp_path).take()
        assert now_s() == 0.0

    run(story())


def test_the_lease_of_a_dead_one_is_waited_for(tmp_path: Path) -> None:
    async def story() -> None:
        store = Store()
        await lease(store, tmp_path / "one").take()
        await lease(store, tmp_path / "two").take()
        assert LEASE_S <= now_s() <= LEASE_S + 0.5

    run(story())


def test_one_that_ended_in_good_order_is_not_waited_for(tmp_path: Path) -> None:
    async def story() -> None:
        store = Store()
        first = lease(store, tmp_path / "one")
        await first.take()
        await first.release()
        await lease(store, tmp_path / "two").take()
        assert now_s() == 0.0

    run(story())


def test_with_redis_away_nobody_is_refused_and_a_rival_that_took_the_pool_meanwhile_is_seen(tmp_path: Path) -> None:
    async def story() -> None:
        store = Store(away=True)
        first = lease(store, tmp_path / "one")
        await first.take()
        renewing = asyncio.ensure_future(first.run())
        await asyncio.sleep(60.0)
        assert first.refusal == ""
        store.away = False
        assert await store.hold("mark state directory /other on there", 9.0)
        await asyncio.sleep(RENEW_EVERY_S + 0.1)
        assert first.refusal == (
            "another controller runs this pool (state directory /other on there): nothing is started here"
        )
        await asyncio.sleep(10.0)
        assert first.refusal == "", "it is gone"
        await cancel_and_wait([renewing])

    run(story())


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        run(lease(Store(), tmp_path / "file" / "state").take())

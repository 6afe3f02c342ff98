"""Recovery, handoff and drain by the controller: real livekit-server, real Redis, and jobs made up (`support.job`)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from livekit import api, rtc

from support.controlling import FRONT_SECRET, KEYS, Running, caller, controller
from support.eventually import eventually
from support.job import FakeJob
from voicefleet.contract import codec
from voicefleet.contract.api import DrainView, WorkerStatus
from voicefleet.contract.claims import agent_identity
from voicefleet.contract.errors import UnknownStateError, UnreachableError
from voicefleet.contract.reports import WorkerOrder
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.runtime.redis.claim_store import Succeeding, Yielded
from voicefleet.stack import servers

pytestmark = pytest.mark.integration

SETTLED_S = 3.2
"""A controller judges nobody before."""
_numbers = itertools.count(1)


@dataclass
class Live:
    """One live call: a caller and the job that has it."""

    room: str
    job: FakeJob
    caller: rtc.Room


@contextlib.asynccontextmanager
async def live_calls(
    running: Running, livekit: servers.LiveKit, redis_url: str, workers: Sequence[str]
) -> AsyncIterator[list[Live]]:
    """A live call for each entry of `workers`, on the worker of that name; settled."""
    async with contextlib.AsyncExitStack() as stack:
        calls: list[Live] = []
        for worker in workers:
            ticket = await running.ticket()
            here = await stack.enter_async_context(caller(ticket["url"], ticket["token"]))
            job = FakeJob(livekit, redis_url, ticket["room"], worker, f"AJ_{next(_numbers)}")
            stack.push_async_callback(job.leave)
            calls.append(Live(ticket["room"], await job.start(), here))
        await eventually(lambda: _all_live(running, calls))
        await asyncio.sleep(SETTLED_S)
        yield calls


async def _all_live(running: Running, calls: Sequence[Live]) -> bool:
    found = [await running.call(c.room) for c in calls]
    return all(f is not None and f["state"] == "live" for f in found)


async def dispatched_again(running: Running, room: str) -> bool:
    return bool(await running.dispatches(room))


async def agents(call: Live) -> set[str]:
    return {
        i for i, p in call.caller.remote_participants.items() if p.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
    }


async def test_jobs_that_die_or_stall_are_found_and_their_calls_dispatched(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str
) -> None:
    (tmp_path / "other").mkdir()
    async with (
        controller(tmp_path, livekit, redis_url) as running,
        controller(tmp_path / "other", livekit, redis_url) as other,  # replicas do all of this twice, to no harm
        running.worker("w1", live=3, slots=8) as w1,
        running.worker("w2", slots=8),
        live_calls(running, livekit, redis_url, ["w1", "w1", "w1", "w3"]) as (killed, told, stalled, cut),
    ):
        # Gone without a word, of a worker that does not tell: Redis and LiveKit are the witnesses.
        await killed.job.die()
        await eventually(lambda: dispatched_again(running, killed.room))
        await eventually(lambda: _is_removed(killed))
        # Gone, and its worker says so: no need to ask.
        await told.job.die()
        w1["jobs"] = [stalled.job.job]
        await running.report("w1", **w1)
        await eventually(lambda: dispatched_again(running, told.room))
        # Stopped: its connections stay open.
        stalled.job.stall()
        await eventually(lambda: dispatched_again(running, stalled.room))
        # Its claim is renewed, but it says that no media comes, and LiveKit does not reach it either.
        cut.job.trouble, cut.job.answers = "media", False
        await eventually(lambda: dispatched_again(running, cut.room))
        await eventually(lambda: _is_removed(cut))
        for call in (killed, told, stalled, cut):
            assert await running.redis.sismember(KEYS.fenced(call.room), call.job.job)
            assert int(str(await running.redis.get(KEYS.epoch(call.room)))) == 2
        for reason, count in {"job_ended": 1, "not_listening": 1, "not_renewed": 1, "trouble": 1}.items():
            series = f'voicefleet_calls_recovered_total{{reason="{reason}",region="eu"}}'
            assert await running.metric(series) + await other.metric(series) == count, reason
        unanswered = 'voicefleet_probes_total{region="eu",result="unanswered"}'
        assert await running.metric(unanswered) + await other.metric(unanswered) >= 3
        # One that wakes finds its call gone, and never gets it back.
        woken = stalled.job
        assert await woken.claims.renew(woken.room, "", worker="w1", job=woken.job, epoch=woken.epoch) is None


async def _is_removed(call: Live) -> bool:
    return call.job.removed.is_set() and agent_identity(call.job.job) not in await agents(call)


async def test_a_job_cut_off_from_redis_alone_keeps_its_call(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str
) -> None:
    async with (
        controller(tmp_path, livekit, redis_url) as running,
        running.worker("w2", slots=8),
        live_calls(running, livekit, redis_url, ["w1"]) as (call,),
    ):
        call.job.renews = False
        await call.job.deafen()
        await asyncio.sleep(4.0)
        # Its claim runs out, after 10 s; then the call waits, and its agent is asked again and again.
        await running.redis.pexpire(KEYS.claim(call.room), 100)
        await eventually(lambda: _waits(running, call.room))
        await asyncio.sleep(4.0)
        assert await agents(call) == {agent_identity(call.job.job)}
        assert await running.dispatches(call.room) == []
        assert await running.metric('voicefleet_probes_total{region="eu",result="answered"}') >= 3
        # Redis is there again: the job has its call as before, and nobody else ever had it.
        call.job.renews = True
        await eventually(lambda: _all_live(running, [call]))
        assert call.job.epoch == 1
        # Cut off again, and this time it dies: an agent without a claim is found too.
        call.job.renews = False
        await running.redis.delete(KEYS.claim(call.room))
        await eventually(lambda: _waits(running, call.room))
        call.job.answers = False
        await eventually(lambda: dispatched_again(running, call.room))
        await eventually(lambda: _is_removed(call))
        assert await running.redis.sismember(KEYS.fenced(call.room), call.job.job)


async def _waits(running: Running, room: str) -> bool:
    call = await running.call(room)
    return call is not None and call["state"] == "waiting"


async def test_many_suspects_at_once_are_held_back_then_asked(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str
) -> None:
    async with (
        controller(tmp_path, livekit, redis_url) as running,
        running.worker("w9", slots=8),
        live_calls(running, livekit, redis_url, ["w1", "w2"]) as (one, two),
    ):
        for call in (one, two):
            call.job.stall()
        await asyncio.sleep(5.0)  # one alone would be found in less
        assert await running.dispatches(one.room) == await running.dispatches(two.room) == []
        two.job.answers = True
        await eventually(lambda: dispatched_again(running, one.room), 6)
        assert await running.dispatches(two.room) == []
        assert await agents(two) == {agent_identity(two.job.job)}


async def test_a_redis_that_restarts_empty_or_forgets_costs_nobody_the_call(
    tmp_path: Path, livekit: servers.LiveKit
) -> None:
    async with (
        servers.redis_server() as store,
        controller(tmp_path, livekit, store.url) as running,
        running.worker("w1", live=2, slots=8),
        live_calls(running, livekit, store.url, ["w1", "w1"]) as calls,
    ):
        for _ in range(20):
            for key in await running.redis.keys("voicefleet:*"):
                if hash((key, time.monotonic())) % 2:
                    await running.redis.delete(key)
            await asyncio.sleep(0.05)
        await eventually(lambda: _all_live(running, calls))
        await running.redis.flushall()
        await eventually(lambda: _all_live(running, calls))
        await store.stop(kill=True)
        await asyncio.sleep(1.0)
        await store.start()
        await eventually(lambda: _all_live(running, calls), 6)
        await asyncio.sleep(1.5)
        for call in calls:
            assert await running.dispatches(call.room) == []
            assert await agents(call) == {agent_identity(call.job.job)}
            assert not call.job.lost
        # From now on a death counts again.
        await calls[0].job.die()
        await eventually(lambda: dispatched_again(running, calls[0].room), 5)
        assert await running.dispatches(calls[1].room) == []


async def test_callers_are_served_from_livekit_alone_while_redis_is_away(
    tmp_path: Path, livekit: servers.LiveKit
) -> None:
    async with (
        servers.redis_server() as store,
        controller(tmp_path, livekit, store.url) as running,
        live_calls(running, livekit, store.url, ["w1"]) as (served,),
    ):
        ticket = await running.ticket(tier="fast", metadata="order 7")
        async with caller(ticket["url"], ticket["token"]):
            await store.stop(kill=True)
            await eventually(lambda: dispatched_again(running, ticket["room"]))
            (first, *_) = await running.dispatches(ticket["room"])
            assert (first.tier, first.metadata) == ("fast", "order 7")
            # An agent came: enough.
            agent = FakeJob(livekit, store.url, ticket["room"], "w2", "AJ_blind", joins_only=True)
            await agent.start()
            await asyncio.sleep(1.0)
            made = len(await running.dispatches(ticket["room"]))
            await asyncio.sleep(2.5)
            assert len(await running.dispatches(ticket["room"])) == made
            assert await running.dispatches(served.room) == []
            await store.start()
            await eventually(lambda: _all_live(running, [served]))
            await agent.leave()
            await eventually(lambda: _waits(running, ticket["room"]))


async def test_callers_have_an_agent_again_after_a_restart_of_livekit(tmp_path: Path, redis_url: str) -> None:
    async with (
        servers.livekit_server("eu") as livekit,
        controller(tmp_path, livekit, redis_url) as running,
        running.worker("w2", slots=8),
        live_calls(running, livekit, redis_url, ["w1"]) as (call,),
    ):
        await running.redis.set(KEYS.transcript(call.room), "what was said", px=3_600_000)
        await livekit.stop(kill=True)
        await asyncio.sleep(2.0)
        await livekit.start()

        async def helped() -> bool:
            """The agent is there again and has the call, or another one was ordered in its place."""
            with contextlib.suppress(api.ServerError):
                found = await running.call(call.room)
                same = found is not None and found["state"] == "live" and bool(await agents(call))
                return same or await dispatched_again(running, call.room)
            return False

        await eventually(helped)
        # Rooms that are gone for a moment take nobody's conversation along.
        assert await running.redis.get(KEYS.transcript(call.room)) == "what was said"


async def test_a_draining_worker_hands_its_calls_over(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> None:
    async with (
        controller(tmp_path, livekit, redis_url) as running,
        running.worker("w1", live=2, slots=2, state="draining"),
        running.worker("w2", slots=1) as w2,
        live_calls(running, livekit, redis_url, ["w1", "w1"]) as (first, second),
        contextlib.AsyncExitStack() as stack,
    ):
        # One slot is free elsewhere: one call moves.
        await eventually(lambda: running.redis.exists(KEYS.handoff(first.room)))
        await eventually(lambda: dispatched_again(running, first.room))
        assert await running.redis.exists(KEYS.handoff(second.room)) == 0
        claims = first.job.claims
        # One that lives: recovery would take the call from a mere name.
        successor = FakeJob(livekit, redis_url, first.room, "w2", f"AJ_{next(_numbers)}", joins_only=True)
        stack.push_async_callback(successor.leave)
        await successor.start()
        assert isinstance(await claims.accept(first.room, "", worker="w2", job=successor.job), Succeeding)
        w2["accepting"] = 1
        await running.report("w2", **w2)
        await claims.ready(first.room, job=successor.job)
        assert await claims.hand_over(first.room, job=first.job.job) is Yielded.DONE
        await successor.hold()
        await eventually(lambda: _counted(running, "voicefleet_calls_handed_off_total", 'region="eu",result="done"', 1))
        await eventually(lambda: _has(running, first.room, "w2", 2))  # The register is told a moment after the claim.
        assert await running.redis.exists(KEYS.handoff(second.room)) == 0
        # A slot for the other one too; nobody takes it, so it is tried again, and its job keeps it.
        w2["slots"] = 2
        await eventually(lambda: dispatched_again(running, second.room))
        await running.redis.pexpire(KEYS.handoff(second.room), 100)
        await eventually(
            lambda: _counted(running, "voicefleet_calls_handed_off_total", 'region="eu",result="failed"', 1)
        )
        await eventually(lambda: running.redis.exists(KEYS.handoff(second.room)), 4)
        assert await _has(running, second.room, "w1", 1)


async def _has(running: Running, room: str, worker: str, epoch: int) -> bool:
    call = await running.call(room)
    return call is not None and (call["worker"], call["epoch"]) == (worker, epoch)


async def _counted(running: Running, name: str, labels: str, count: int) -> bool:
    return await running.metric(f"{name}{{{labels}}}") == count


async def test_the_calls_of_a_worker_whose_main_process_hangs_move_on(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str
) -> None:
    async with controller(tmp_path, livekit, redis_url) as running, running.worker("w2", slots=2):
        await running.report("w1", live=1)  # and never again
        async with live_calls(running, livekit, redis_url, ["w1"]) as (call,):
            await eventually(lambda: running.redis.exists(KEYS.handoff(call.room)))
            assert not call.job.lost


async def test_drain_by_the_api(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> None:
    async with (
        controller(tmp_path, livekit, redis_url) as running,
        running.worker("w1", live=1, slots=2),
        ControllerClient(running.url, key=FRONT_SECRET) as client,
    ):
        await eventually(lambda: _known(client, "w1"))
        with pytest.raises(UnreachableError, match=r"no worker w7\. Known: w1\."):
            await client.drain_worker("w7")
        assert await client.worker("w7") is None
        view = await client.worker("w1")
        assert view == WorkerStatus(worker="w1", region="eu", state="ready", slots=2, live=1, leaving=False)
        for _ in range(2):
            assert await client.drain_worker("w1") == DrainView(worker="w1", region="eu", live=1)
        await eventually(lambda: running.redis.exists(KEYS.order("w1")))
        order = codec.load(WorkerOrder, await running.redis.get(KEYS.order("w1")) or "")
        assert (order.cordon, order.leave) == (True, True)
        await asyncio.sleep(0.5)
        again = codec.load(WorkerOrder, await running.redis.get(KEYS.order("w1")) or "")
        assert again == order  # said once
        view = await client.worker("w1")
        assert view is not None
        assert (view.state, view.leaving) == ("stopping", True)
    async with controller(tmp_path, livekit, redis_url) as running, ControllerClient(running.url, key="wrong") as wrong:
        with pytest.raises(UnreachableError, match="no valid API key"):
            await wrong.drain_worker("w1")
        with pytest.raises(UnreachableError, match="no valid API key"):
            await wrong.worker("w1")


async def _known(client: ControllerClient, worker: str) -> bool:
    with contextlib.suppress(UnknownStateError):
        return await client.worker(worker) is not None
    return False


async def test_priority_goes_first_and_nobody_starves(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> None:
    async with controller(tmp_path, livekit, redis_url) as running, contextlib.AsyncExitStack() as stack:
        rooms = []
        for priority in (0, 0, 9):
            ticket = await running.ticket(priority=priority)
            here = await stack.enter_async_context(caller(ticket["url"], ticket["token"]))
            rooms.append((ticket["room"], here))
            await eventually(lambda: _waits(running, rooms[-1][0]))
        (first, _), (second, gone), (urgent, _) = rooms
        assert await running.redis.zrange(KEYS.waiting, 0, -1) == [urgent, first, second]
        # It is worth 90 s of waiting, no more.
        joined = await running.redis.zscore(KEYS.callers, urgent)
        assert joined is not None
        assert await running.redis.zscore(KEYS.waiting, urgent) == joined - 90_000
        # A caller who hangs up leaves the queue, by the listing alone.
        await gone.disconnect()
        await eventually(lambda: _not_there(running, second), 2)
        assert (await running.post({"priority": 10}))[1]["field"] == "priority"


async def _not_there(running: Running, room: str) -> bool:
    return await running.redis.zscore(KEYS.waiting, room) is None

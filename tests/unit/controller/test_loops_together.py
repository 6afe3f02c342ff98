"""All loops of one region together, on fakes in virtual time, while hypothesis plays misfortune.

Once all is well again, every caller in a room has one agent, which lives and holds the claim. A call whose own job,
worker and caller were well all the time keeps its job: no fault of others, of Redis or of LiveKit takes it away.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support.fake_region import FakeRegion, Loop, with_region
from voicefleet.controller.calls.dispatch import Dispatcher
from voicefleet.controller.calls.handoffs import Handoffs
from voicefleet.controller.calls.recovery import Recovery
from voicefleet.controller.calls.redis_outage import OutageDispatcher
from voicefleet.controller.rooms.listing import RoomLister

pytestmark = pytest.mark.unit

LOOPS: tuple[Loop, ...] = (
    lambda fakes: Dispatcher(fakes.region).run,
    lambda fakes: Recovery(fakes.region).run,
    lambda fakes: OutageDispatcher(fakes.region).run,
    lambda fakes: Handoffs(fakes.region).run,
    lambda fakes: RoomLister(fakes.region, fakes.joins, every_s=5.0, max_duration_s=0.0).run,
)
ROOMS = ("a", "b", "c")
WELL = "well"


class Misfortune:
    """What may befall a region; each move is harmless where it makes no sense."""

    def __init__(self, fakes: FakeRegion) -> None:
        self._fakes = fakes
        self._workers = 0

    def add_worker(self, room: str) -> None:
        self._workers += 1
        self._fakes.workers.add(f"w{self._workers}", slots=2)

    def join(self, room: str) -> None:
        self._fakes.livekit.join(room)

    def leave(self, room: str) -> None:
        self._fakes.livekit.leave(room)

    def room_ends(self, room: str) -> None:
        if room in self._fakes.livekit.rooms:
            self._fakes.livekit.close_room(room)

    def job_dies(self, room: str) -> None:
        if self._serves(room):
            self._fakes.workers.kill(room, agent_stays=True)

    def job_stalls(self, room: str) -> None:
        if self._serves(room):
            self._fakes.workers.stall(room)

    def job_loses_redis(self, room: str) -> None:
        if self._serves(room):
            job = self._fakes.workers.job(room)
            job.cut_from_redis = True
            self._fakes.store.redis.listening.discard(job.name)

    def worker_drains(self, room: str) -> None:
        if self._serves(room):
            self._fakes.workers.all[self._fakes.workers.job(room).worker].state = "draining"

    def redis_goes(self, room: str) -> None:
        self._fakes.store.redis.away = self._fakes.workers.away = True

    def redis_returns(self, room: str) -> None:
        self._fakes.store.redis.away = self._fakes.workers.away = False

    def redis_restarts_empty(self, room: str) -> None:
        redis = self._fakes.store.redis
        redis.server += "+"
        for held in (redis.callers, redis.waiting, redis.in_flight, redis.claims, redis.open_jobs, redis.handoffs):
            held.clear()
        redis.epochs.clear()
        redis.fenced.clear()

    def livekit_goes(self, room: str) -> None:
        self._fakes.livekit.away = True

    def livekit_returns(self, room: str) -> None:
        self._fakes.livekit.away = False

    def room_is_not_told(self, room: str) -> None:
        self._fakes.livekit.broken.add(room)

    def ends(self) -> None:
        """All is well from now on, and there are free slots."""
        self.redis_returns("")
        self.livekit_returns("")
        self._fakes.livekit.broken.clear()
        for _ in range(3):
            self.add_worker("")

    def _serves(self, room: str) -> bool:
        return any(room in worker.jobs for worker in self._fakes.workers.all.values())


MOVES: tuple[Callable[[Misfortune, str], None], ...] = (
    Misfortune.add_worker,
    Misfortune.join,
    Misfortune.join,
    Misfortune.leave,
    Misfortune.room_ends,
    Misfortune.job_dies,
    Misfortune.job_stalls,
    Misfortune.job_loses_redis,
    Misfortune.worker_drains,
    Misfortune.redis_goes,
    Misfortune.redis_returns,
    Misfortune.redis_restarts_empty,
    Misfortune.livekit_goes,
    Misfortune.livekit_returns,
    Misfortune.room_is_not_told,
)
STORY = st.lists(
    st.tuples(st.sampled_from(MOVES), st.sampled_from(ROOMS), st.sampled_from([0.1, 0.7, 2.0, 5.0, 13.0])),
    min_size=3,
    max_size=14,
)


def unserved(fakes: FakeRegion) -> list[str]:
    """Rooms with a caller and without exactly one agent, which lives and holds the claim."""
    missing = []
    for room, there in fakes.livekit.rooms.items():
        if not any(p.caller for p in there.there.values()):
            continue
        agents = fakes.livekit.agents(room)
        jobs = [job for worker in fakes.workers.all.values() for job in worker.jobs.values() if job.room == room]
        alive = [job for job in jobs if job.identity in agents and not job.stalled]
        if len(agents) != 1 or len(alive) != 1 or (fakes.holder(room) != alive[0].name and not alive[0].cut_from_redis):
            missing.append(room)
    return missing


@settings(
    max_examples=40, phases=[Phase.generate], deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(STORY)
def test_whatever_befalls_them_all_callers_are_served_and_a_well_call_keeps_its_job(
    moves: list[tuple[Callable[[Misfortune, str], None], str, float]],
) -> None:
    async def story(fakes: FakeRegion) -> None:
        misfortune = Misfortune(fakes)
        fakes.workers.add("w0")
        fakes.livekit.join(WELL)
        await fakes.until(lambda: fakes.holder(WELL))
        well = fakes.workers.job(WELL)
        await fakes.clock.sleep(6.0)
        for move, room, pause_s in moves:
            move(misfortune, room)
            await fakes.clock.sleep(pause_s)
            assert fakes.livekit.agents(WELL) == [well.identity], "a well call lost its agent, or was given another"
        misfortune.ends()
        try:
            await fakes.until(lambda: not unserved(fakes), 90.0)
        except AssertionError:
            raise AssertionError(f"callers without an agent: {unserved(fakes)}") from None
        assert (fakes.livekit.agents(WELL), fakes.holder(WELL)) == ([well.identity], well.name)

    with_region(story, *LOOPS)

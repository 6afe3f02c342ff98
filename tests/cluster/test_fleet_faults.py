"""Parts of the control plane fail under live calls: Kubernetes' API server, and the controller that leads."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from cluster.kube import wait_for
from cluster.trial import Trial
from voicefleet.runtime.clock import SystemClock

pytestmark = [pytest.mark.cluster, pytest.mark.fleet]

API_DOWN_S = 60.0
FAILOVER_LIMIT_S = 10.0


async def test_the_api_server_is_away_and_calls_neither_end_nor_wait(trial: Trial) -> None:
    await trial.settled()
    async with trial.callers() as callers:
        await callers.call()
        assert await callers.wait_greeted(30.0)
        before = await asyncio.to_thread(_pods, trial)
        await asyncio.to_thread(trial.cluster.stop_api_server)
        try:
            down_s = time.monotonic()
            # The worker has a free slot, so a new caller needs nothing of Kubernetes.
            await callers.call()
            assert await callers.wait_greeted(20.0), "a caller who came while the API server was down heard nobody"
            await trial.until(
                lambda seen: (seen.status, seen.live) == ("unknown", 2), 20.0, "the controller says what it cannot see"
            )
            await asyncio.sleep(max(0.0, down_s + API_DOWN_S - time.monotonic()))
        finally:
            await asyncio.to_thread(trial.cluster.start_api_server)
        up_s = time.monotonic()
        await trial.until(lambda seen: seen.status == "ok", 30.0, "the controller sees the pool again")
        print(f"the pool was seen again {time.monotonic() - up_s:.1f} s after the API server was back")
        after = await asyncio.to_thread(_pods, trial)
        assert before.items() <= after.items(), "a pod was replaced or started again while nothing could be seen"
        await callers.good(2, up_s)
    await trial.settled()


async def test_a_killed_leader_is_replaced_in_time(trial: Trial) -> None:
    await trial.settled()
    async with trial.callers() as callers:
        await callers.call()
        assert await callers.wait_greeted(30.0)
        leader, _ = await asyncio.to_thread(trial.leader)
        (pod,) = [pod for pod in await asyncio.to_thread(trial.controllers) if pod["metadata"]["name"] == leader]
        killed_s, killed = time.monotonic(), SystemClock().wall()
        for pid in trial.cluster.node.machine.processes(pod["metadata"]["uid"]):
            os.kill(pid, signal.SIGKILL)
        # Another one, or the same pod, whose container is started anew at once.
        await asyncio.to_thread(
            wait_for, lambda: trial.leader()[1] > killed, FAILOVER_LIMIT_S, "a controller leads again"
        )
        print(f"a controller led again {time.monotonic() - killed_s:.1f} s after the kill")
        await callers.call()
        assert await callers.wait_greeted(20.0)
        await callers.good(2, killed_s)
    await trial.settled()


def _pods(trial: Trial) -> dict[str, int]:
    """Name of each pod of the release -> how often its containers were started again; a new one has none yet."""
    return {
        pod["metadata"]["name"]: sum(status["restartCount"] for status in pod["status"].get("containerStatuses", ()))
        for pod in (*trial.workers(), *trial.controllers())
    }

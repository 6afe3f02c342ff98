"""Several agents of one region on a real node: each has its pool, and a call gets the agent that it asks for."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from cluster.kube import is_ready, wait_for
from cluster.trial import REGION, RELEASE, Trial, values
from cluster.whole import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

NAMESPACE = "agents"
POOLS = {"support", "sales-v1", "sales-v2"}
LIMIT_S = 120.0
OBJECTIVES = {
    **{"errorRatio": 0.1, "ttfaP95Seconds": 5.0, "silentRatio": 0.1, "crashRatio": 0.1},
    **{"minCalls": 1000, "durationSeconds": 3600},
}
AGENTS: dict[str, Any] = {
    "support": {},
    "sales": {"versions": {"v1": {"weight": 90}, "v2": {"weight": 10, "objectives": OBJECTIVES}}},
}


async def test_each_agent_has_its_pool_and_its_calls(cluster: Cluster) -> None:
    trial = Trial(cluster, NAMESPACE)
    given = {**values(beside=True), "regions": [{"name": REGION, "agents": AGENTS, "defaultAgent": "support"}]}
    await asyncio.to_thread(trial.helm, "install", given, "--create-namespace")
    try:
        await asyncio.to_thread(_ready, trial)
        async with trial.callers() as callers:
            began_s = time.monotonic()
            # Each pool sends its first report a moment after its pods are ready.
            for agent in (None, "sales"):
                await callers.call(LIMIT_S, agent=agent)
            await callers.good(1, began_s)
            assert {ticket.agent for ticket in callers.tickets} == {"support", "sales"}
    finally:
        await asyncio.to_thread(trial.helm, "uninstall")


def _ready(trial: Trial) -> None:
    """Every pool has a worker that is registered: the controller scales each Deployment."""

    def all_there() -> bool:
        pods = trial.cluster.items("pods", "-n", trial.pool_namespace, "-l", "app.kubernetes.io/component=worker")
        there = {pod["metadata"]["labels"]["voicefleet.dev/region"] for pod in pods if is_ready(pod)}
        return there == {f"{REGION}-{pool}" for pool in POOLS}

    wait_for(all_there, LIMIT_S, "every pool has a worker", lambda: trial.cluster.diagnostics(NAMESPACE))
    assert {f"{RELEASE}-{REGION}-{pool}" for pool in POOLS} == {
        found["metadata"]["name"] for found in trial.cluster.items("deployments", "-n", trial.pool_namespace)
    }

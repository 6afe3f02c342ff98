"""What people do to a running fleet: new versions, rollbacks, drained nodes, deleted pods, new keys. Under live calls,
and nobody may notice: each caller has answers before and after, is never silent, never cut."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cluster.kube import wait_for
from cluster.trial import CONTROLLERS, RELEASE, Callers, Trial, values

pytestmark = [pytest.mark.cluster, pytest.mark.fleet]

CALLS = 2
OLD_GONE_LIMIT_S = 60.0
NEXT = "next"


@asynccontextmanager
async def live_calls(trial: Trial) -> AsyncIterator[Callers]:
    """Calls that had an answer each; after the block they need two more, and are judged."""
    await trial.settled()
    async with trial.callers(seed=int(time.monotonic())) as callers:
        await callers.calls(CALLS)
        assert await callers.wait_greeted(30.0), trial.cluster.diagnostics(trial.namespace, trial.pool_namespace)
        await trial.until(lambda seen: seen.live == CALLS, 20.0, "the calls are live")
        yield callers
        await callers.good(2, time.monotonic())
    await trial.settled()


async def old_pods_end(trial: Trial, old: set[str]) -> None:
    """Wait until none of these pods is left, within the bound; the calls must have moved."""
    began_s = time.monotonic()

    def gone() -> bool:
        return not old & {pod["metadata"]["name"] for pod in trial.workers()}

    await asyncio.to_thread(
        wait_for,
        gone,
        OLD_GONE_LIMIT_S,
        "the old pods end",
        lambda: trial.cluster.diagnostics(trial.namespace, trial.pool_namespace),
    )
    print(f"old pods were gone after {time.monotonic() - began_s:.1f} s")


def names(trial: Trial) -> set[str]:
    return {pod["metadata"]["name"] for pod in trial.workers()}


async def test_an_upgrade_and_a_rollback_under_live_calls(trial: Trial) -> None:
    for component in ("worker", "controller", "loadtest"):
        name = f"localhost/voicefleet-{component}"
        trial.cluster.node.tag_image(f"{name}:test", f"{name}:{NEXT}")
    async with live_calls(trial):
        old = await asyncio.to_thread(names, trial)
        await asyncio.to_thread(trial.helm, "upgrade", values(tag=NEXT))
        await old_pods_end(trial, old)
        (image,) = {pod["spec"]["containers"][0]["image"] for pod in trial.workers()}
        assert image == f"localhost/voicefleet-worker:{NEXT}"
    await asyncio.to_thread(controllers_are_new, trial)
    async with live_calls(trial):
        old = await asyncio.to_thread(names, trial)
        await asyncio.to_thread(trial.helm, "rollback")
        await old_pods_end(trial, old)
    await asyncio.to_thread(controllers_are_new, trial)


async def test_a_drained_node_hands_its_calls_over(trial: Trial) -> None:
    node = trial.cluster.node.name
    async with live_calls(trial):
        old = await asyncio.to_thread(names, trial)
        drain = asyncio.create_task(
            asyncio.to_thread(
                trial.cluster.kubectl,
                *("drain", node, "--delete-emptydir-data", "--pod-selector=app.kubernetes.io/component=worker"),
                "--timeout=100s",
            )
        )
        try:
            await asyncio.to_thread(
                wait_for, lambda: any(is_leaving(pod) for pod in trial.workers()), 20.0, "the worker is evicted"
            )
        finally:
            # There is one node: allowing pods on it again is the other node that a real cluster has.
            await asyncio.to_thread(trial.cluster.kubectl, "uncordon", node)
        await drain
        await old_pods_end(trial, old)


async def test_a_deleted_pod_hands_its_calls_over(trial: Trial) -> None:
    async with live_calls(trial):
        old = await asyncio.to_thread(names, trial)
        await asyncio.to_thread(trial.kubectl, "delete", "pod", *old, "--wait=false")
        await old_pods_end(trial, old)


async def test_livekits_key_is_changed_under_live_calls(trial: Trial) -> None:
    old_key, new_key = ("key-old", secrets.token_hex(24)), ("key-new", secrets.token_hex(24))
    write_secret(trial, "both-keys", {"keys": "".join(f"{key}: {secret}\n" for key, secret in (old_key, new_key))})
    given = values()
    given["devStack"]["livekit"] |= {"existingSecret": "both-keys", "webhookKey": old_key[0]}
    given["livekit"] = {"existingSecret": "clients-key"}
    for namespace in (trial.namespace, trial.pool_namespace):
        write_secret(trial, "clients-key", {"apiKey": old_key[0], "apiSecret": old_key[1]}, namespace)
    try:
        # The server that knows both keys: a restart of LiveKit itself ends its calls, so there are none yet.
        await asyncio.to_thread(trial.helm, "upgrade", given, "--wait", "--timeout", "150s")
        await trial.settled()
        async with live_calls(trial):
            old = await asyncio.to_thread(names, trial)
            for namespace in (trial.namespace, trial.pool_namespace):
                write_secret(trial, "clients-key", {"apiKey": new_key[0], "apiSecret": new_key[1]}, namespace)
            await asyncio.to_thread(trial.helm, "upgrade", {**given, "secretsRevision": "2"})
            await old_pods_end(trial, old)
    finally:
        await asyncio.to_thread(trial.helm, "upgrade", values(), "--wait", "--timeout", "150s")
    await trial.settled()


def write_secret(trial: Trial, name: str, content: dict[str, str], namespace: str | None = None) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace or trial.namespace},
        "stringData": content,
    }
    trial.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))


def controllers_are_new(trial: Trial) -> None:
    trial.cluster.kubectl(
        *("rollout", "status", f"deployment/{RELEASE}-controller", "-n", trial.namespace, "--timeout=100s")
    )
    trial.cluster.wait_for_pods(trial.namespace, CONTROLLERS, 2)


def is_leaving(pod: dict[str, dict[str, str]]) -> bool:
    return "deletionTimestamp" in pod["metadata"]

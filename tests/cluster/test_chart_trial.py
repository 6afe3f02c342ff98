"""The chart on a real node where things go wrong: nobody answers, a pod is deleted while it starts, and it all ends."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.kube import CommandError, wait_for
from cluster.trial import RELEASE, Trial, values
from cluster.whole import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.fleet, pytest.mark.timeout(600)]

NAMESPACE = "ends"
GONE_LIMIT_S = 60.0


@pytest.fixture(scope="module")
def deaf(cluster: Cluster) -> Trial:
    """A fleet whose workers wait for calls of another name."""
    trial = Trial(cluster, NAMESPACE)
    trial.helm("install", values(beside=True), "--create-namespace")
    trial.kubectl("set", "env", trial.pool, "VOICEFLEET_AGENT_NAME=somebody-else")
    trial.kubectl("rollout", "status", trial.pool, "--timeout=100s")
    trial.cluster.kubectl("rollout", "status", f"deployment/{RELEASE}-controller", "-n", NAMESPACE, "--timeout=100s")
    return trial


def test_helm_test_fails_when_no_agent_answers_and_leaves_no_pod(deaf: Trial) -> None:
    with pytest.raises(CommandError, match=f"pod {RELEASE}-local-test-call failed"):
        deaf.helm("test", None, "--timeout", "200s")
    assert "test-call" not in deaf.cluster.kubectl("get", "pods", "-n", NAMESPACE, "-o", "name")


def test_a_pod_that_is_deleted_while_it_starts_ends_at_once(deaf: Trial) -> None:
    known = {pod["metadata"]["name"] for pod in deaf.workers()}
    deaf.kubectl("delete", "pod", *known, "--wait=false")

    def starting() -> str | None:
        for pod in deaf.workers():
            states: list[dict[str, Any]] = pod["status"].get("containerStatuses", [])
            if pod["metadata"]["name"] not in known and any("running" in status["state"] for status in states):
                return str(pod["metadata"]["name"])
        return None

    name = wait_for(starting, GONE_LIMIT_S, "a new worker's process runs")
    deaf.kubectl("delete", "pod", name, "--wait=false")
    # Else it would register, and take calls for the hour that its grace period lasts.
    wait_for(
        lambda: name not in {pod["metadata"]["name"] for pod in deaf.workers()},
        GONE_LIMIT_S,
        "it is gone",
        lambda: deaf.cluster.diagnostics(deaf.pool_namespace),
    )


def test_nothing_is_left_of_a_release_that_is_removed(deaf: Trial) -> None:
    deaf.helm("uninstall")

    def left() -> list[str]:
        spaces = deaf.cluster.kubectl("get", "namespaces", "-o", "name").split()
        kinds = "all,configmaps,secrets,serviceaccounts,roles,rolebindings,leases,pdb,networkpolicies"
        label = f"app.kubernetes.io/instance={RELEASE}"
        found = deaf.cluster.kubectl("get", kinds, "-n", NAMESPACE, "-l", label, "-o", "name").split()
        return [*(space for space in spaces if space == f"namespace/{deaf.pool_namespace}"), *found]

    wait_for(
        lambda: not left(),
        GONE_LIMIT_S,
        "nothing is left",
        lambda: f"{left()}\n{deaf.cluster.diagnostics(NAMESPACE, deaf.pool_namespace)}",
    )

"""The node that other tests stand on: real pods, Services, names, logs and commands; and nothing is left of it."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from cluster.addresses import Block
from cluster.images import stack_images
from cluster.kube import wait_for
from cluster.machine import cgroups, link_exists, remove_stale_cgroups
from cluster.whole import Cluster

pytestmark = pytest.mark.cluster

BUSYBOX = "localhost/busybox:test"
PAGE = "printf 'HTTP/1.0 200 OK\\r\\n\\r\\nhello' | nc -l -p 8080"


@pytest.fixture
def web(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """A namespace with a web server behind a Service."""
    namespace = cluster.namespace(request.node.name.replace("_", "-")[:40].strip("-"))
    labels = {"app": "web"}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": namespace, "labels": labels},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {
                        "name": "web",
                        "image": BUSYBOX,
                        "command": ["sh", "-c", f"echo started; while :; do {PAGE}; done"],
                    }
                ],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    )
    cluster.wait_for_pods(namespace, "app=web", 1)
    return namespace


def test_a_pod_runs_and_its_service_is_reached_from_here_and_by_name_from_a_pod(cluster: Cluster, web: str) -> None:
    address = cluster.get("service", "web", "-n", web)["spec"]["clusterIP"]

    def page() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}", timeout=2) as answer:
                return bool(answer.read() == b"hello")
        except OSError:
            return False

    assert wait_for(page, 10.0, "the Service answers from this machine")
    assert "started" in cluster.kubectl("logs", "-n", web, "web")
    found = cluster.kubectl("exec", "-n", web, "web", "--", "nslookup", f"web.{web}.svc.cluster.local")
    assert address in found
    # That a pod reaches a Service is what `helm test` shows: Debian's static busybox crashes in wget.


def test_the_api_is_reached_from_a_pod(cluster: Cluster, web: str) -> None:
    address = cluster.network.api_service
    cluster.kubectl("exec", "-n", web, "web", "--", "nc", "-w", "3", address, "443", "-e", "true")


def test_a_run_that_is_killed_leaves_only_control_groups_and_the_next_one_removes_them(tmp_path: Path) -> None:
    kubeconfig, log = tmp_path / "kubeconfig", tmp_path / "up.log"
    with log.open("wb") as output:
        run = subprocess.Popen(
            [sys.executable, "-m", "cluster.up", "--kubeconfig", str(kubeconfig), "--node"],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for(lambda: kubeconfig.exists() or None, 120.0, "a second cluster is up", log.read_text)
        server = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        block = Block(int(server.split(".")[1]))
        assert link_exists(block)
    finally:
        run.kill()
        run.wait()
    wait_for(lambda: not link_exists(block), 20.0, "the guard has ended its processes")
    assert cgroups(run.pid), "a run that was killed cannot have removed them; where else are they?"
    remove_stale_cgroups()
    assert not cgroups(run.pid)


def test_images_are_there_by_their_names(cluster: Cluster) -> None:
    assert {image.name for image in stack_images()} <= cluster.node.images()

"""Nodes and pods in any number: kwok plays every kubelet. The objects are real, nothing runs in them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.control_plane import ControlPlane
from cluster.programs import find
from voicefleet.runtime.supervisor.ports import LOOPBACK, Ports

_STAGES = Path(__file__).with_name("fake_kubelets.yaml")
_MARK = {"kwok.x-k8s.io/node": "fake"}
_CAPACITY = {"cpu": "1000", "memory": "1000Gi", "pods": "1000"}


def fake_node(name: str, labels: dict[str, str]) -> dict[str, Any]:
    """A node that kwok plays."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": _MARK},
        "status": {"capacity": _CAPACITY, "allocatable": _CAPACITY},
    }


@contextlib.contextmanager
def fake_kubelets(plane: ControlPlane) -> Iterator[None]:
    """Play the kubelets of fake nodes for the block: their pods get ready at once, and end at once when told to.

    Raises:
        MissingPartError: kwok is not on this machine.
    """
    with Ports() as ports:
        mark = ",".join(f"{name}={value}" for name, value in _MARK.items())
        plane.daemons.start(
            "kwok",
            [
                find("kwok"),
                f"--kubeconfig={plane.kubeconfig}",
                f"--config={_STAGES}",
                # While kwok ends hundreds of pods it renews no lease for half a minute; a node is lost after 50 s.
                "--node-lease-duration-seconds=12",
                "--manage-all-nodes=false",
                f"--manage-nodes-with-annotation-selector={mark}",
                f"--server-address={LOOPBACK}:{ports.tcp()}",
            ],
        )
        try:
            yield
            kwok = plane.daemons.child("kwok")
            assert kwok.alive, kwok.log_tail()
        finally:
            plane.daemons.stop("kwok")

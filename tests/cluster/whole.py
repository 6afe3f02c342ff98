"""A whole cluster: a control plane, and one real node that runs pods."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from cluster.addresses import Block, free_block
from cluster.archive import Image
from cluster.control_plane import ControlPlane, Network
from cluster.machine import Machine
from cluster.node import Node
from cluster.process import Daemons
from voicefleet.runtime.supervisor.children import private_directory
from voicefleet.runtime.supervisor.ports import Ports

NODE_NAME = "node-1"


class Cluster(ControlPlane):
    """A control plane with a node. Pods reach this machine at `host`, and we reach pods and Services by address."""

    node: Node
    block: Block

    @property
    def host(self) -> str:
        """This machine's address on the link to the node: servers that pods need listen there."""
        return self.block.host


@contextlib.contextmanager
def whole_cluster(images: Sequence[Image] = (), name: str = "voicefleet-test") -> Iterator[Cluster]:
    """Run a cluster with one node, which has `images`, for the block.

    Raises:
        MissingPartError: a program is not on this machine, or we are not root.
        UsageError, UnreachableError: a server ended, or was not ready in time.
    """
    with free_block() as block, Ports() as ports, private_directory("cluster") as folder:
        daemons = Daemons(folder)
        machine = Machine(NODE_NAME, block, folder, daemons)
        try:
            machine.start()
            network = Network(block.host, block.services, reachable=True)
            with contextlib.ExitStack() as stack:
                (folder / "control-plane").mkdir()
                cluster = Cluster(folder / "control-plane", ports, network, name)
                stack.callback(cluster.stop)
                cluster.start()
                cluster.block = block
                cluster.node = Node(machine, cluster, folder, daemons)
                cluster.node.start(images)
                yield cluster
        finally:
            daemons.stop_all(grace_s=0.0)
            machine.remove_cgroups()

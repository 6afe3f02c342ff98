"""Clusters for tests. `plane` is a real API with its controllers, one for the whole session: the one that
`VOICEFLEET_TEST_KUBECONFIG` names, else our own `control_plane`, which has no node. Give each test a namespace of its
own. Take `control_plane` to reach into its servers, and start another with `cluster.control_plane.control_plane(...)`
to break one. `cluster` has a node that runs pods."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

import pytest

from cluster.control_plane import ControlPlane
from cluster.control_plane import control_plane as run_control_plane
from cluster.existing import existing_cluster, named
from cluster.images import images
from cluster.kube import Plane
from cluster.machine import cgroups, link_exists
from cluster.trial import Trial, install
from cluster.whole import Cluster, whole_cluster
from voicefleet.contract.errors import MissingPartError
from voicefleet.runtime.supervisor.settings import environment

S = TypeVar("S")


@contextlib.contextmanager
def or_skip(server: AbstractContextManager[S]) -> Iterator[S]:
    """Run a server for a fixture; where its programs are not installed, skip (in CI: fail)."""
    with contextlib.ExitStack() as stack:
        try:
            started = stack.enter_context(server)
        except MissingPartError as error:
            if environment().get("CI"):
                raise
            pytest.skip(f"{error} Or run `make cluster`.")
        yield started


@pytest.fixture(scope="session")
def plane(request: pytest.FixtureRequest) -> Iterator[Plane]:
    """The cluster that we were given, else a control plane without nodes, for the whole session."""
    kubeconfig = named()
    if kubeconfig is None:
        own: ControlPlane = request.getfixturevalue("control_plane")
        yield own
        return
    with existing_cluster(kubeconfig) as given:
        yield given


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """Our own control plane without nodes, for the whole session."""
    with or_skip(run_control_plane()) as plane:
        yield plane


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A control plane with a real node that has all our images, for the whole session; then nothing is left of it."""
    with or_skip(_with_images()) as running:
        yield running
    assert not link_exists(running.block), "the link to a node was left behind"
    assert not cgroups(os.getpid()), "control groups were left behind"


@pytest.fixture(scope="session")
def trial(cluster: Cluster) -> Trial:
    """The chart with its trial servers, installed once. Every test leaves it at rest, with one worker."""
    return install(cluster, "voice")


@contextlib.contextmanager
def _with_images() -> Iterator[Cluster]:
    with whole_cluster(images()) as running:
        yield running

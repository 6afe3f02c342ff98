"""Tests run on a cluster that somebody gave them, and leave nothing there. Ours plays the given one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane
from cluster.existing import VARIABLE, existing_cluster, named
from cluster.images import ROOT
from voicefleet.contract.errors import ConfigError, UsageError
from voicefleet.runtime.supervisor.settings import environment

pytestmark = pytest.mark.cluster

CHOSEN = (
    "tests/cluster/test_kube_adapter.py::test_a_victim_waits_while_another_would_be_taken",
    "tests/cluster/test_lease.py::test_a_leader_that_ends_gives_the_lease_up",
)
LIMIT_S = 300.0


def test_a_given_cluster_is_used_and_left_as_it_was(control_plane: ControlPlane) -> None:
    def objects() -> set[str]:
        return set(control_plane.kubectl("get", "namespaces,nodes", "-o", "name").split())

    before = objects()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *CHOSEN],
        cwd=ROOT,
        env={**environment(), VARIABLE: str(control_plane.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(CHOSEN)} passed" in done.stdout
    assert objects() <= before


def test_what_is_in_a_given_cluster_is_not_taken_over(control_plane: ControlPlane) -> None:
    control_plane.namespace("somebodys")
    taken = pytest.raises(UsageError, match="namespace = 'somebodys'")
    with existing_cluster(control_plane.kubeconfig) as given, taken:
        given.namespace("somebodys")
    assert control_plane.kubectl("get", "namespace", "somebodys", "-o", "name").strip() == "namespace/somebodys"


def test_a_kubeconfig_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    monkeypatch.setenv(VARIABLE, str(missing))
    with pytest.raises(ConfigError, match=f"{VARIABLE} = .*nowhere.*: no such file"):
        named()
    missing.write_text("apiVersion: v1\nkind: Config\n")
    found = named()
    assert found is not None
    with pytest.raises(UsageError, match=f"{VARIABLE} = .*no current context"), existing_cluster(found):
        pass

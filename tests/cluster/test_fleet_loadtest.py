"""A load test as pods of the real cluster: a spike in two shares, one pod killed, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cluster.images import ROOT
from cluster.kube import wait_for
from cluster.trial import RELEASE, Trial
from voicefleet.loadtest.pods.lines import parse_line
from voicefleet.runtime.supervisor.settings import environment

pytestmark = pytest.mark.cluster

SPIKE = {
    "arrivals": {"shape": "spike", "rate": 0.2, "factor": 5, "at_s": 4, "for_s": 6, "duration_s": 14},
    "callers": {"turns": 1},
    "seed": 3,
    "fail_if": ["calls_cut>0"],
}
PODS = "app.kubernetes.io/component=loadtest"
COMMAND = ("-m", "voicefleet.cli.app", "loadtest")
STARTER = "load-tester"


@pytest.fixture(scope="module")
def starter(trial: Trial) -> Path:
    """The kubeconfig of somebody who has the rights that the README names, and no others."""
    text = (ROOT / "loadtest" / "README.md").read_text()
    match = re.search(r"^    # role\.yaml\n(?:    .*\n)+", text, re.MULTILINE)
    assert match
    role = yaml.safe_load("\n".join(line[4:] for line in match[0].splitlines()))
    role["metadata"]["namespace"] = trial.namespace
    account = trial.cluster.account(STARTER)
    subject = {"kind": "User", "name": account.user, "apiGroup": "rbac.authorization.k8s.io"}
    trial.cluster.apply(
        role,
        {
            "apiVersion": role["apiVersion"],
            "kind": "RoleBinding",
            "metadata": role["metadata"],
            "roleRef": {"kind": "Role", "name": role["metadata"]["name"], "apiGroup": "rbac.authorization.k8s.io"},
            "subjects": [subject],
        },
    )
    return account.kubeconfig


class Command:
    """`voicefleet loadtest ...` as somebody runs it."""

    def __init__(self, kubeconfig: Path, *arguments: str) -> None:
        self._env = {**environment(), "KUBECONFIG": str(kubeconfig)}
        self._arguments = arguments

    async def __aenter__(self) -> Command:
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, *COMMAND, *self._arguments),
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
        await asyncio.wait_for(self.process.wait(), 30.0)

    async def end(self, limit_s: float) -> tuple[int, str]:
        """Its exit code, and all that it said."""
        said, _ = await asyncio.wait_for(self.process.communicate(), limit_s)
        return self.process.returncode or 0, " ".join(said.decode().split())


async def test_a_spike_of_two_pods_of_which_one_is_killed(trial: Trial, starter: Path, tmp_path: Path) -> None:
    await trial.settled()
    scenario, out = tmp_path / "spike.yaml", tmp_path / "out.json"
    scenario.write_text(yaml.safe_dump(SPIKE))
    options = ("--kubernetes", "--pods", "2", "-n", trial.namespace, "--engine", "go", "--json", str(out))
    async with Command(starter, "run", str(scenario), *options) as command:
        raw = await asyncio.to_thread(_until_killed, trial)
        code, said = await command.end(120.0)
    result = json.loads(out.read_text())
    print(said)
    assert result["missing"], said
    kept_time = next(c["held"] for c in result["criteria"] if c["name"] == "the load generator kept time")
    assert (result["verdict"], code) == (("partial", 4) if kept_time else ("void", 3)), said
    # The rest is reported, and so is what the killed pod had finished.
    whole, killed = result["parts"]
    assert (whole["missing"], whole["finished"]) == ("", whole["planned"])
    assert re.match(r"pod 1: killed; \d of its \d+ calls are missing", killed["missing"])
    assert 1 <= killed["finished"] < killed["planned"]
    assert max(part["began_late_s"] for part in result["parts"]) < 0.5
    # Percentiles of the merged result are those of the raw samples, as the pods' own logs have them.
    calls = {call["call_id"]: call for call in result["outcomes"]}
    assert len(calls) == whole["finished"] + killed["finished"]
    assert {name: calls[name] for name in raw} == raw
    waits = [turn["ttfa_s"] for call in calls.values() for turn in call["turns"] if turn["ttfa_s"] is not None]
    if len(waits) == result["figures"]["turns"]:  # none went unanswered, or cut in
        for percent in (50, 95):
            assert result["figures"][f"ttfa_p{percent}"] == pytest.approx(np.quantile(waits, percent / 100))
    assert {int(name[-5:]) % 2 for name in calls} == {0, 1}
    await asyncio.to_thread(_nothing_left, trial)
    await trial.settled()


def _until_killed(trial: Trial) -> dict[str, Any]:
    """Kill the second pod as soon as one of its calls is over; the calls that its log then had."""

    def logged() -> tuple[dict[str, Any], dict[str, Any]] | None:
        for pod in trial.cluster.items("pods", "-n", trial.namespace, "-l", PODS):
            if pod["metadata"]["annotations"].get("batch.kubernetes.io/job-completion-index") == "1":
                log = trial.cluster.kubectl("logs", "-n", trial.namespace, pod["metadata"]["name"])
                lines = [line for text in log.splitlines() if (line := parse_line(text)) is not None]
                calls = {line["call"]["call_id"]: line["call"] for line in lines if line["loadtest"] == "call"}
                if calls:
                    return pod, calls
        return None

    pod, calls = wait_for(logged, 90.0, "a call of the second pod is over", lambda: _state(trial))
    for pid in trial.cluster.node.machine.processes(pod["metadata"]["uid"]):
        os.kill(pid, signal.SIGKILL)
    return calls


def _state(trial: Trial) -> str:
    return trial.cluster.diagnostics(trial.namespace)


def _nothing_left(trial: Trial) -> None:
    """No Job, pod or plan, as soon as Kubernetes has removed what we have deleted."""

    def gone() -> bool:
        there = trial.cluster.kubectl("get", "jobs,pods,configmaps", "-n", trial.namespace, "-o", "name")
        ours = [line for line in there.split() if f"/{RELEASE}-loadtest-" in line]
        return not ours

    wait_for(gone, 45.0, "nothing of the load test is left", lambda: _state(trial))


async def test_what_is_wrong_is_one_message_and_leaves_nothing(trial: Trial, starter: Path) -> None:
    template = trial.cluster.get("configmap", f"{RELEASE}-loadtest", "-n", trial.namespace)
    broken = re.sub(r"image: \S+", "image: localhost/nobody:1", template["data"]["job.yaml"])
    trial.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{RELEASE}-loadtest-broken-template", "namespace": trial.namespace},
            "data": {"job.yaml": broken},
        }
    )
    stranger = trial.cluster.account("stranger").kubeconfig
    given = ("--kubernetes", "--calls", "2", "-n", trial.namespace)
    for kubeconfig, options, says in (
        (starter, (*given, "--job-template", f"{RELEASE}-loadtest-broken-template"), "ErrImageNeverPull"),
        (stranger, given, "403 configmaps"),
        (trial.cluster.kubeconfig, (*given, "-n", "nowhere"), "--namespace = 'nowhere': no such namespace"),
        (starter, (*given, "--job-template", "other"), "--job-template = 'other': no such ConfigMap"),
        (starter, (*given, "--context", "other"), "--context = 'other': there is no access to a cluster"),
        (starter, (*given, "--secret", "nobody", "--livekit-url", "ws://x:1"), 'secret "nobody" not found'),
    ):
        async with Command(kubeconfig, *options) as command:
            code, said = await command.end(60.0)
        assert (code, said.count("voicefleet:")) == (2, 1), said
        assert says in said
    await asyncio.to_thread(
        trial.cluster.kubectl, "delete", "configmap", "-n", trial.namespace, f"{RELEASE}-loadtest-broken-template"
    )
    await asyncio.to_thread(_nothing_left, trial)

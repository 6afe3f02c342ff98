"""A Kubernetes API as tests speak to it: kubectl, helm, and waiting for a condition within a bound."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from cluster.certificates import Pair
from cluster.programs import find
from voicefleet.runtime.supervisor.settings import environment

T = TypeVar("T")
_COMMAND_LIMIT_S = 120.0
_POLL_S = 0.1


class CommandError(AssertionError):
    """kubectl or helm refused; the text is what it said."""


class Kube:
    """One API server, by its kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def kubectl(self, *arguments: str, stdin: str | None = None, limit_s: float = _COMMAND_LIMIT_S) -> str:
        """Run kubectl and return what it printed.

        Raises:
            CommandError: it failed; the text is its error output.
        """
        return run([str(find("kubectl")), *arguments], self._environment(), stdin, limit_s)

    def helm(self, *arguments: str, stdin: str | None = None, limit_s: float = _COMMAND_LIMIT_S) -> str:
        """Run helm and return what it printed.

        Raises:
            CommandError: it failed; the text is its error output.
        """
        return run([str(find("helm")), *arguments], self._environment(), stdin, limit_s)

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Create or change objects."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def get(self, *arguments: str) -> Any:
        """`kubectl get ... -o json`, parsed."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """The items of `kubectl get`."""
        items: list[dict[str, Any]] = self.get(*arguments)["items"]
        return items

    def namespace(self, name: str, **labels: str) -> str:
        """Make a namespace, if it is not there."""
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        return name

    def wait_for_pods(
        self, namespace: str, selector: str, count: int | None = None, *, limit_s: float = 60.0
    ) -> list[dict[str, Any]]:
        """Wait until pods that the selector names are there (exactly `count` of them if given) and all are Ready."""

        def ready() -> list[dict[str, Any]] | None:
            pods = self.items("pods", "-n", namespace, "-l", selector)
            right = len(pods) == count if count is not None else bool(pods)
            return pods if right and all(is_ready(pod) for pod in pods) else None

        return wait_for(
            ready, limit_s, f"pods {selector} of {namespace} are Ready", lambda: self.diagnostics(namespace)
        )

    def diagnostics(self, *namespaces: str) -> str:
        """What a reader wants to see when a test failed: pods, events and the last lines of each container."""
        parts = [self._said("get", "nodes", "-o", "wide")]
        for namespace in namespaces:
            parts += [
                self._said("get", "all", "-n", namespace, "-o", "wide"),
                self._said("get", "events", "-n", namespace, "--sort-by=.lastTimestamp"),
                self._said("describe", "pods", "-n", namespace),
            ]
            for pod in self._said("get", "pods", "-n", namespace, "-o", "name").split():
                if pod.startswith("pod/"):
                    for previous in ((), ("--previous",)):
                        said = self._said("logs", "-n", namespace, "--all-containers", "--tail=60", *previous, pod)
                        parts.append(f"--- logs {pod} {' '.join(previous)}\n{said}")
        return "\n".join(parts)

    def _said(self, *arguments: str) -> str:
        try:
            return self.kubectl(*arguments, limit_s=20.0)
        except CommandError as error:
            return str(error)

    def _environment(self) -> dict[str, str]:
        return {**environment(), "KUBECONFIG": str(self.kubeconfig)}


@dataclass(frozen=True)
class Account:
    """Somebody the API knows: the name that roles are bound to, and a kubeconfig to come in with."""

    user: str
    kubeconfig: Path


class Plane(Kube, ABC):
    """A Kubernetes API where tests may make users, namespaces and nodes. `name` is its context in kubeconfigs."""

    name: str

    @abstractmethod
    def account(self, name: str) -> Account:
        """A new user of the API, who may do nothing yet."""
        ...


def run(argv: list[str], env: Mapping[str, str], stdin: str | None, limit_s: float) -> str:
    """Run a command and return what it printed.

    Raises:
        CommandError: it failed, or took longer than `limit_s`.
    """
    shown = " ".join(Path(argv[0]).name if number == 0 else part for number, part in enumerate(argv))
    try:
        done = subprocess.run(
            argv, input=stdin or "", capture_output=True, text=True, env=dict(env), timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"`{shown}` did not end within {limit_s:.0f} s: {error.stderr or b''!r}") from error
    if done.returncode != 0:
        raise CommandError(f"`{shown}` ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def wait_for(look: Callable[[], T | None], limit_s: float, what: str, diagnose: Callable[[], str] | None = None) -> T:
    """Look again and again until the answer is neither None nor False, and return it. A failed command is no answer.

    Raises:
        AssertionError: there is none within `limit_s`; `diagnose` adds to the message.
    """
    deadline = time.monotonic() + limit_s
    refused = ""
    while True:
        try:
            seen = look()
        except CommandError as error:
            seen, refused = None, str(error)
        if seen is not None and seen is not False:
            return seen
        if time.monotonic() > deadline:
            more = diagnose() if diagnose else ""
            raise AssertionError(f"within {limit_s:.0f} s it did not come true that {what}. {refused}\n{more}")
        time.sleep(_POLL_S)


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod's Ready condition is true, and it is not on its way out."""
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions: Iterable[Mapping[str, str]] = pod.get("status", {}).get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def signed_in(client: Pair) -> dict[str, str]:
    """The `user` of a kubeconfig who shows a certificate."""
    return {"client-certificate-data": inline(client.certificate), "client-key-data": inline(client.key)}


def write_kubeconfig(path: Path, *, name: str, cluster: Mapping[str, Any], user: Mapping[str, str]) -> Path:
    """Write a kubeconfig of one context, with all keys inside, readable by us alone."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": dict(cluster)}],
        "users": [{"name": name, "user": dict(user)}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    path.touch(mode=0o600, exist_ok=True)
    path.write_text(yaml.safe_dump(config))
    return path


def inline(path: Path) -> str:
    """A file's content as kubeconfigs hold it."""
    return base64.b64encode(path.read_bytes()).decode()

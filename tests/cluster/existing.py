"""A cluster that somebody gave the tests, such as kind on a laptop: those of the Kubernetes adapter run there.

It is named by a variable of its own and never taken from `KUBECONFIG`: tests make namespaces, users and nodes, which
nobody wants in the cluster that this terminal happens to point at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import yaml

from cluster.kube import Account, CommandError, Plane, write_kubeconfig
from voicefleet.contract.errors import ConfigError, UsageError
from voicefleet.runtime.supervisor.children import private_directory
from voicefleet.runtime.supervisor.settings import environment

VARIABLE = "VOICEFLEET_TEST_KUBECONFIG"
_ACCOUNTS = "voicefleet-test-accounts"
_TOKEN_LASTS = "2h"
_CLEAN_LIMIT_S = 120.0


class ExistingCluster(Plane):
    """The cluster of the current context of a kubeconfig. Its accounts are service accounts of one namespace.

    Raises:
        UsageError: the file is no kubeconfig with a current context.
    """

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        super().__init__(kubeconfig)
        self._folder = folder
        self._made: list[str] = []
        try:
            config = yaml.safe_load(self.kubectl("config", "view", "--minify", "--flatten", "--raw", "-o", "yaml"))
            self.name = str(config["current-context"])
            self._cluster = dict(config["clusters"][0]["cluster"])
        except (CommandError, LookupError, TypeError) as error:
            raise UsageError(
                f"it has no current context that names a cluster ({error})",
                field=VARIABLE,
                value=str(kubeconfig),
                hint="Choose one with `kubectl config use-context`, or unset it: tests run one of their own.",
            ) from error

    def namespace(self, name: str, **labels: str) -> str:
        """Make a namespace, which goes when the tests end.

        Raises:
            UsageError: it is there already, and not by us: nobody's objects are taken over.
        """
        if name not in self._made:
            if self.kubectl("get", "namespace", name, "--ignore-not-found", "-o", "name").strip():
                raise UsageError(
                    "it is in the cluster already",
                    field="namespace",
                    value=name,
                    hint=f"If an earlier run left it, `kubectl delete namespace {name}`.",
                )
            self._made.append(name)
        return super().namespace(name, **labels)

    def account(self, name: str) -> Account:
        self.namespace(_ACCOUNTS)
        self.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": _ACCOUNTS}})
        token = self.kubectl("create", "token", name, "-n", _ACCOUNTS, f"--duration={_TOKEN_LASTS}").strip()
        path = self._folder / f"{name}.kubeconfig"
        kubeconfig = write_kubeconfig(path, name=self.name, cluster=self._cluster, user={"token": token})
        return Account(f"system:serviceaccount:{_ACCOUNTS}:{name}", kubeconfig)

    def clean(self) -> None:
        """Delete what we made, and wait until it is gone. Pods go at once: the kubelets that we play have gone."""
        for name in self._made:
            with contextlib.suppress(CommandError):  # it may have no pods, or be gone
                self.kubectl("delete", "pods", "--all", "-n", name, "--grace-period=0", "--force")
        if self._made:
            self.kubectl(
                *("delete", "namespace", *self._made, "--ignore-not-found"),
                *("--wait", f"--timeout={_CLEAN_LIMIT_S:.0f}s"),
                limit_s=_CLEAN_LIMIT_S + 10.0,
            )


def named() -> Path | None:
    """The kubeconfig that `VOICEFLEET_TEST_KUBECONFIG` names.

    Raises:
        ConfigError: there is no such file.
    """
    value = environment().get(VARIABLE)
    if not value:
        return None
    path = Path(value)
    if not path.is_file():
        raise ConfigError(
            "no such file",
            field=VARIABLE,
            value=value,
            hint="Name a kubeconfig, or unset the variable: tests then run a control plane of their own.",
        )
    return path


@contextlib.contextmanager
def existing_cluster(kubeconfig: Path) -> Iterator[ExistingCluster]:
    """Use the cluster for the block; then nothing of ours is left there.

    Raises:
        UsageError: see `ExistingCluster`.
        CommandError: it does not answer.
    """
    with private_directory("existing-cluster") as folder:
        cluster = ExistingCluster(kubeconfig, folder)
        cluster.kubectl("version", limit_s=20.0)
        try:
            yield cluster
        finally:
            cluster.clean()

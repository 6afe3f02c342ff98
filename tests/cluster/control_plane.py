"""A real Kubernetes control plane as child processes: etcd, API server, controller manager and scheduler.

No kubelet: pods stay pending unless something plays their node. `node.py` adds a real one.
"""

from __future__ import annotations

import contextlib
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.certificates import Authority
from cluster.kube import Account, CommandError, Plane, inline, signed_in, write_kubeconfig
from cluster.process import Daemons
from cluster.programs import find
from voicefleet.runtime.supervisor.children import private_directory
from voicefleet.runtime.supervisor.ports import LOOPBACK, Ports

_READY_LIMIT_S = 60.0
_STOP_GRACE_S = 3.0
_ASK_LIMIT_S = 1.0


@dataclass(frozen=True)
class Network:
    """Addresses that a control plane is given.

    Args:
        host: where the API server listens, an address of this machine.
        services: the range of service addresses; its first one is the API's.
        reachable: whether pods can reach `host`, so that the API is offered to them as a Service.
    """

    host: str = LOOPBACK
    services: str = "10.250.0.0/20"
    reachable: bool = False

    @property
    def api_service(self) -> str:
        """The address of the Service `kubernetes`."""
        return self.services.partition("/")[0].rpartition(".")[0] + ".1"


class ControlPlane(Plane):
    """A running control plane. `kubeconfig` is the administrator's."""

    def __init__(self, folder: Path, ports: Ports, network: Network, name: str) -> None:
        super().__init__(folder / "admin.kubeconfig")
        self.name = name
        self.network = network
        self.folder = folder
        self.daemons = Daemons(folder)
        self._etcd_port, self._etcd_peer_port = ports.tcp(), ports.tcp()
        self._port = ports.tcp(network.host)
        self._manager_port, self._scheduler_port = ports.tcp(), ports.tcp()
        self.authority = Authority(folder, name)
        self._kubelet_client = self.authority.client("api-to-kubelet", "kube-apiserver", "system:masters")
        self._accounts = self.authority.signing_key("service-accounts")
        self._serving = self.authority.server(
            "kube-apiserver",
            [
                *("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"),
                *("localhost", LOOPBACK, network.host, network.api_service),
            ],
        )
        self.user_kubeconfig("admin", "kubernetes-admin", "system:masters")

    @property
    def server(self) -> str:
        """The API server's address: `https://...`."""
        return f"https://{self.network.host}:{self._port}"

    def user_kubeconfig(self, file: str, user: str, group: str | None = None) -> Path:
        """A kubeconfig for a user that certificates name, for instance to try what RBAC lets it do."""
        path = self.folder / f"{file}.kubeconfig"
        return write_kubeconfig(
            path,
            name=self.name,
            cluster={"server": self.server, "certificate-authority-data": inline(self.authority.certificate)},
            user=signed_in(self.authority.client(file, user, group)),
        )

    def account(self, name: str) -> Account:
        return Account(name, self.user_kubeconfig(name, name))

    def start(self) -> None:
        """Start all servers, and wait until objects can be made.

        Raises:
            MissingPartError, UsageError, UnreachableError: see `find` and `Daemons.until`.
        """
        self._start_etcd()
        self.start_api_server()
        self._start_controllers()
        self.daemons.until(self._makes_accounts, _READY_LIMIT_S, "the controller manager works")

    def stop(self) -> None:
        """End all servers."""
        self.daemons.stop_all(grace_s=_STOP_GRACE_S)

    def start_api_server(self) -> None:
        """Start the API server (again: on the same port, with the same data), and wait until it is ready."""
        client = self._kubelet_client
        self.daemons.start(
            "kube-apiserver",
            [
                find("kube-apiserver"),
                f"--etcd-servers=http://{LOOPBACK}:{self._etcd_port}",
                f"--bind-address={self.network.host}",
                f"--advertise-address={self.network.host}",
                f"--secure-port={self._port}",
                f"--endpoint-reconciler-type={'lease' if self.network.reachable else 'none'}",
                f"--service-cluster-ip-range={self.network.services}",
                f"--client-ca-file={self.authority.certificate}",
                f"--tls-cert-file={self._serving.certificate}",
                f"--tls-private-key-file={self._serving.key}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={self._accounts.certificate}",
                f"--service-account-signing-key-file={self._accounts.key}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true",
                f"--kubelet-client-certificate={client.certificate}",
                f"--kubelet-client-key={client.key}",
                "--kubelet-preferred-address-types=InternalIP",
                "--profiling=false",
            ],
        )
        self.daemons.until(self.answers, _READY_LIMIT_S, "the API server is ready")

    def stop_api_server(self) -> None:
        """End the API server at once, as a crash would; the other servers stay and wait for it."""
        self.daemons.stop("kube-apiserver", grace_s=0.0)

    def answers(self) -> bool:
        """Whether the API server says that it is ready."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        try:
            with urllib.request.urlopen(f"{self.server}/readyz", timeout=_ASK_LIMIT_S, context=context) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _start_etcd(self) -> None:
        url, peer = f"http://{LOOPBACK}:{self._etcd_port}", f"http://{LOOPBACK}:{self._etcd_peer_port}"
        self.daemons.start(
            "etcd",
            [
                find("etcd"),
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls={url}",
                f"--advertise-client-urls={url}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--logger=zap",
                "--log-level=warn",
            ],
        )

    def _start_controllers(self) -> None:
        manager = self.user_kubeconfig("controller-manager", "system:kube-controller-manager")
        self.daemons.start(
            "kube-controller-manager",
            [
                find("kube-controller-manager"),
                f"--kubeconfig={manager}",
                f"--bind-address={LOOPBACK}",
                f"--secure-port={self._manager_port}",
                "--leader-elect=false",
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={self._accounts.key}",
                f"--root-ca-file={self.authority.certificate}",
                "--profiling=false",
            ],
        )
        scheduler = self.user_kubeconfig("scheduler", "system:kube-scheduler")
        self.daemons.start(
            "kube-scheduler",
            [
                find("kube-scheduler"),
                f"--kubeconfig={scheduler}",
                f"--bind-address={LOOPBACK}",
                f"--secure-port={self._scheduler_port}",
                "--leader-elect=false",
                "--profiling=false",
            ],
        )

    def _makes_accounts(self) -> bool:
        # No pod can be made in a namespace before its default service account is there.
        try:
            self.kubectl("get", "serviceaccount", "default", "-n", "default")
        except CommandError:
            return False
        return True


@contextlib.contextmanager
def control_plane(name: str = "voicefleet-test", network: Network | None = None) -> Iterator[ControlPlane]:
    """Run a control plane for the block; several may run side by side.

    Raises:
        MissingPartError: a server is not on this machine; the message says how to get it.
        UsageError, UnreachableError: a server ended, or was not ready in time.
    """
    with Ports() as ports, private_directory("control-plane") as folder:
        plane = ControlPlane(folder, ports, network or Network(), name)
        try:
            plane.start()
            yield plane
        finally:
            plane.stop()

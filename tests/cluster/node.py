"""A real node: containerd, kubelet, kube-proxy and CoreDNS inside a machine of their own (see `machine`)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from cluster.archive import Image, Start, program_archive
from cluster.control_plane import ControlPlane
from cluster.kube import CommandError, is_ready
from cluster.machine import Machine
from cluster.process import Daemons
from cluster.programs import CNI_PLUGINS, find
from cluster.store import keep, restore

DOMAIN = "cluster.local"
_READY_LIMIT_S = 60.0
_IMPORT_LIMIT_S = 120.0
_PAUSE_IMAGE = "localhost/pause:test"
_IMAGES_NAMESPACE = "k8s.io"


class Node:
    """The one node of a cluster, with its own store of images."""

    def __init__(self, machine: Machine, plane: ControlPlane, folder: Path, daemons: Daemons) -> None:
        self.name = machine.name
        self.machine = machine
        self._plane = plane
        self._folder = folder
        self._daemons = daemons
        self._socket = folder / "containerd.sock"

    def start(self, images: Sequence[Image] = ()) -> None:
        """Start all, load `images`, and wait until the node is Ready.

        Raises:
            MissingPartError, UsageError, UnreachableError: see `find` and `Daemons.until`.
        """
        self._load([pause_image(self._folder), *images])
        self._start_dns()
        self._start_proxy()
        self.start_kubelet()
        self._daemons.until(self.ready, _READY_LIMIT_S, "the node is Ready")

    def _load(self, images: Sequence[Image]) -> None:
        store = self._folder / "containerd"
        loaded = restore(store)
        self._start_containerd()
        wanted = {image.name: image.archive.name for image in images}
        if missing := [image for image in images if loaded.get(image.name) != image.archive.name]:
            # One after another: images that unpack the same layer at once take it from under each other.
            for image in missing:
                self._ctr("images", "import", str(image.archive))
            # Its databases are whole only while nobody has them open.
            self._daemons.stop("containerd", grace_s=0.0)
            keep(store, {**loaded, **wanted})
            self._start_containerd()

    def load(self, image: Image) -> None:
        """Load an image into a node that runs; it is gone with the node."""
        self._ctr("images", "import", str(image.archive))

    def tag_image(self, name: str, another: str) -> None:
        """Give an image another name too."""
        self._ctr("images", "tag", "--force", name, another)

    def images(self) -> set[str]:
        """Names of the images that are there."""
        return set(self._ctr("images", "list", "--quiet").split())

    def ready(self) -> bool:
        """Whether Kubernetes says that the node is Ready."""
        try:
            return is_ready(self._plane.get("node", self.name))
        except CommandError:
            return False

    def start_kubelet(self) -> None:
        """Start the kubelet (again: containers that run are left alone)."""
        plane = self._plane
        client = plane.user_kubeconfig("kubelet", f"system:node:{self.name}", "system:nodes")
        config = _write(self._folder / "kubelet.yaml", kubelet_config(self))
        self._inside(
            "kubelet",
            find("kubelet"),
            f"--config={config}",
            f"--kubeconfig={client}",
            f"--root-dir={self._folder / 'kubelet'}",
            f"--cert-dir={self._folder / 'kubelet-pki'}",
            f"--hostname-override={self.name}",
            f"--node-ip={self.machine.block.node}",
        )

    def stop_kubelet(self) -> None:
        """End the kubelet alone; the containers go on."""
        self._daemons.stop("kubelet", grace_s=0.0)

    def _start_containerd(self) -> None:
        network = self._folder / "cni"
        network.mkdir(exist_ok=True)
        (network / "10-pods.conflist").write_text(json.dumps(cni_config(self.machine.block.pods)))
        config = self._folder / "containerd.toml"
        config.write_text(containerd_config(self._folder, self._socket, network))
        self._inside("containerd", find("containerd"), f"--config={config}")
        self._daemons.until(self._containerd_answers, _READY_LIMIT_S, "containerd answers")

    def _containerd_answers(self) -> bool:
        try:
            self._ctr("version")
        except RuntimeError:
            return False
        return True

    def _start_dns(self) -> None:
        self._plane.kubectl(
            *("create", "clusterrole", "dns", "--verb=list,watch"),
            "--resource=endpoints,services,pods,namespaces,nodes,endpointslices.discovery.k8s.io",
        )
        self._plane.kubectl("create", "clusterrolebinding", "dns", "--clusterrole=dns", "--user=dns")
        client = self._plane.user_kubeconfig("dns", "dns")
        config = self._folder / "Corefile"
        config.write_text(dns_config(self.machine.block.node, client, self._plane.name))
        self._inside("coredns", find("coredns"), f"-conf={config}")

    def _start_proxy(self) -> None:
        client = self._plane.user_kubeconfig("kube-proxy", "system:kube-proxy")
        config = _write(self._folder / "kube-proxy.yaml", proxy_config(self, client))
        self._inside("kube-proxy", find("kube-proxy"), f"--config={config}")

    def _inside(self, name: str, *argv: str | Path) -> None:
        # CNI plugins and the proxy look for the packet filter's programs, which a user's PATH leaves out.
        self._daemons.start(name, self.machine.enter(argv), env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    def _ctr(self, *arguments: str) -> str:
        command = self.machine.enter(
            [find("ctr"), f"--address={self._socket}", f"--namespace={_IMAGES_NAMESPACE}", *arguments]
        )
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, timeout=_IMPORT_LIMIT_S, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"ctr {' '.join(arguments)} failed: {done.stderr.strip()}")
        return done.stdout


def pause_image(folder: Path) -> Image:
    """The image of the process that holds a pod's namespaces: a busybox that sleeps."""
    start = Start(("/bin/sh", "-c", "trap exit TERM; sleep 2147483647 & wait"))
    return Image(_PAUSE_IMAGE, program_archive(folder / "pause.tar", _PAUSE_IMAGE, {}, start))


def kubelet_config(node: Node) -> dict[str, Any]:
    """The kubelet's configuration: small machine, images that only we remove, either version of control groups."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{node._socket}",
        "authentication": {
            "x509": {"clientCAFile": str(node._plane.authority.certificate)},
            "webhook": {"enabled": True},
            "anonymous": {"enabled": False},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDomain": DOMAIN,
        "clusterDNS": [node.machine.block.node],
        # Nothing outside of the cluster is ever looked up.
        "resolvConf": "",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.machine.cgroup}",
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "readOnlyPort": 0,
        # A disk that is nearly full must not evict what a test looks at, nor remove its images.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": False,
        "podLogsDir": "/var/log/pods",
    }


def proxy_config(node: Node, client: Path) -> dict[str, Any]:
    """kube-proxy's configuration; limits of the whole machine's connection table are not ours to set."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(client)},
        "hostnameOverride": node.name,
        "mode": "iptables",
        "clusterCIDR": node.machine.block.pods,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "iptables": {"minSyncPeriod": "100ms"},
    }


def cni_config(pods: str) -> dict[str, Any]:
    """Each pod has a cable of its own to the node, so that all its packets are routed, and Services work."""
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {"type": "host-local", "ranges": [[{"subnet": pods}]], "routes": [{"dst": "0.0.0.0/0"}]},
            }
        ],
    }


def containerd_config(folder: Path, socket: Path, network: Path) -> str:
    """containerd's configuration: all its files in our folder."""
    return f"""\
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{_PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE no process may be made less likely to be killed for memory.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{network}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def dns_config(address: str, client: Path, context: str) -> str:
    """CoreDNS's configuration: the names of Services and pods, and no others."""
    return f"""\
.:53 {{
    bind {address}
    errors
    kubernetes {DOMAIN} in-addr.arpa {{
        kubeconfig {client} {context}
        ttl 1
    }}
}}
"""


def _write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path

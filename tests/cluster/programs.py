"""Where the programs of a Kubernetes are, and how those that are nowhere are made. Finding only looks.

A server is taken from `KUBEBUILDER_ASSETS` (the folder that envtest's tools fill), else from our cache, where
`make cluster` builds it from the modules under `tests/tools`: go.mod says which version, go.sum what it hashes to. The
rest (etcd, containerd, ...) are packages of the system; those with a service are unpacked, not installed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from voicefleet.contract.errors import MissingPartError
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack.find import cache_directory, which

ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
TOOLS = Path(__file__).parent.parent / "tools"
"""The Go module that names the servers."""

INSTALL = "Run `make cluster` (it builds the servers once, which takes a quarter of an hour on two cores)"


@dataclass(frozen=True)
class GoProgram:
    """A program that is built with Go.

    Args:
        package: the Go package of the program.
        module: the folder of a module of ours that pins all versions and checksums.
    """

    name: str
    package: str
    module: Path = TOOLS

    @property
    def cached(self) -> Path:
        """Where it is built to. What it is built from stands in the path, so an old build is never taken for it."""
        return cache_directory() / "cluster" / f"{self.name}-{content(self.module)}" / self.name


GO_PROGRAMS = {
    program.name: program
    for program in (
        *(
            GoProgram(name, f"k8s.io/kubernetes/cmd/{name}")
            for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
        ),
        GoProgram("coredns", ".", module=TOOLS / "dns"),
        GoProgram("helm", "helm.sh/helm/v3/cmd/helm", TOOLS / "helm"),
        GoProgram("kwok", "sigs.k8s.io/kwok/cmd/kwok", TOOLS / "kwok"),
    )
}

SYSTEM = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "ctr": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "runc": "runc",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "busybox": "busybox-static",
    "ip": "iproute2",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "redis-server": "redis-server",
    "docker-registry": "docker-registry",
}
"""Program of the system -> the Debian package that has it."""

CNI_PLUGINS = Path("/usr/lib/cni")
CNI_PACKAGE = "containernetworking-plugins"


def find(name: str, env: Mapping[str, str] | None = None) -> Path:
    """The file of a program.

    Raises:
        MissingPartError: it is nowhere; the message says how to get it.
    """
    env = environment() if env is None else env
    assets = env.get(ASSETS_VARIABLE)
    if assets and _runnable(Path(assets) / name):
        return Path(assets) / name
    program = GO_PROGRAMS.get(name)
    if program is not None:
        if _runnable(program.cached):
            return program.cached
        raise MissingPartError(f"it is neither in {ASSETS_VARIABLE} nor in the cache", field=name, hint=f"{INSTALL}.")
    # Programs for root are in folders that a user's PATH leaves out.
    program_file = which(name, {**env, "PATH": f"{env.get('PATH', '')}:/usr/sbin:/sbin"})
    if program_file is None:
        package = SYSTEM.get(name)
        way = f"Install the package {package}, or run `make cluster` as root" if package else f"Install {name}"
        raise MissingPartError("it is neither in PATH nor in the cache", field=name, hint=f"{way}.")
    return program_file


def missing_packages(env: Mapping[str, str] | None = None) -> list[str]:
    """The Debian packages whose programs are not on this machine."""
    missing = set()
    for name, package in SYSTEM.items():
        try:
            find(name, env)
        except MissingPartError:
            missing.add(package)
    if not all(_runnable(CNI_PLUGINS / plugin) for plugin in ("bridge", "host-local", "loopback")):
        missing.add(CNI_PACKAGE)
    return sorted(missing)


def kubernetes_version() -> str:
    """The version that `tests/tools/go.mod` pins, with its `v`."""
    match = re.search(r"^\s*k8s\.io/kubernetes (v[\d.]+)", (TOOLS / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise MissingPartError(
            "it names no k8s.io/kubernetes", field=str(TOOLS / "go.mod"), hint="Add `require k8s.io/kubernetes`."
        )
    return match[1]


def content(module: Path) -> str:
    """A short digest of a module's files: another version, another digest."""
    files = sorted(file for file in module.iterdir() if file.is_file())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:10]


def _runnable(program: Path) -> bool:
    return program.is_file() and os.access(program, os.X_OK)

"""Programs from packages of Debian and Ubuntu, none of which starts, or leaves behind, a service.

Two ways. A package that has a service (Prometheus, coturn, ...) is never installed: its file is downloaded, checked by
APT against the archive's signed lists, and unpacked into our cache; no script of it runs, nothing of it starts at the
next boot. What else is needed is installed, with a policy that lets no maintainer script start a service. Services
that are there already are neither asked nor touched.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from voicefleet.contract.errors import UsageError
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack.alone import alone
from voicefleet.stack.find import ALERTMANAGER_DATA, unpacked_packages

Say = Callable[[str], None]

POLICY = Path("/usr/sbin/policy-rc.d")
"""What Debian's scripts ask before they start or restart a service; exit code 101 forbids it."""

QUIET_VARIABLE = "VOICEFLEET_SETUP"
POLICY_TEXT = f'#!/bin/sh\n# Forbids nothing to others.\n[ -z "${QUIET_VARIABLE}" ] || exit 101\n'

WITH_SERVICE: Mapping[str, Sequence[str]] = {
    "prometheus": ("prometheus",),
    "prometheus-alertmanager": ("prometheus-alertmanager",),
    "coturn": ("coturn",),
    # The server is a link to a program of the tools.
    "redis-server": ("redis-tools", "redis-server"),
    "etcd-server": ("etcd-server",),
    "containerd": ("containerd",),
    "docker-registry": ("docker-registry",),
}
"""Package that would start a service -> the packages that are unpacked together instead."""

READ_IN_PLACE: Mapping[str, Path] = {"prometheus-alertmanager": ALERTMANAGER_DATA}
"""Package that is unpacked -> the folder that its program reads where Debian puts it, and nowhere else."""

_LIBRARY = re.compile(r"lib(?!js-)[a-z0-9.+-]+")
_HINT = "Install the package yourself."
_LIMIT_S = 900.0
_WAIT = ("-o", "DPkg::Lock::Timeout=300")
"""Another program may install packages at this moment."""


def provide(packages: Sequence[str], say: Say) -> None:
    """Unpack or install packages, as far as possible; the caller looks for their programs afterwards.

    Installing needs root; unpacking needs only APT.
    """
    if not shutil.which("apt-get"):
        return
    apt = Apt(say)
    with alone(unpacked_packages() / "packages.lock", ", ".join(packages), say):
        for package in packages:
            if package in WITH_SERVICE:
                with contextlib.suppress(UsageError):
                    unpack(package, apt, say)
        plain = [package for package in packages if package not in WITH_SERVICE]
        if plain and os.geteuid() == 0:
            say(f"{', '.join(plain)}: installing the system's packages")
            apt.install(plain)


def unpack(package: str, apt: Apt, say: Say) -> None:
    """Put the files of a package with a service into our cache; only the shared libraries it needs are installed.

    Raises:
        UsageError: APT has no such package, or it cannot be unpacked. It was said.
    """
    target = unpacked_packages() / package
    if target.exists():
        put_in_place(package, target, Path("/"))
        return
    say(f"{package}: unpacking the system's package into the cache (not installed, so its service starts nowhere)")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpack-") as work:
        folder = Path(work)
        files = apt.download(WITH_SERVICE[package], folder)
        for file in files:
            apt.run(["dpkg-deb", "--extract", str(file), str(folder / "root")])
        libraries = {name for file in files for name in shared_libraries(apt.field(file, "Depends"))}
        if libraries and os.geteuid() == 0:
            apt.satisfy(sorted(libraries))
        (folder / "root").rename(target)
    put_in_place(package, target, Path("/"))


def put_in_place(package: str, unpacked: Path, root: Path) -> None:
    """Copy what the package's program reads by its absolute path to where it is looked for, below `root`, as far as we
    may; what is there already is left as it is."""
    if (folder := READ_IN_PLACE.get(package)) is None:
        return
    relative = folder.relative_to("/")
    with contextlib.suppress(OSError):
        shutil.copytree(unpacked / relative, root / relative)


def shared_libraries(depends: str) -> list[str]:
    """Of a package's `Depends`, the entries that are shared libraries; the rest serves scripts and services.

    >>> shared_libraries("adduser, libc6 (>= 2.34), telnet | telnet-client, libjs-jquery, libpq5 | libpq6 (>= 8.4~)")
    ['libc6 (>= 2.34)', 'libpq5 | libpq6 (>= 8.4~)']
    """
    return [entry for entry in (part.strip() for part in depends.split(",")) if _LIBRARY.match(entry)]


class Apt:
    """APT and dpkg, without questions, recommended packages and services. Lists are fetched once, when needed."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._is_fresh = False

    def install(self, packages: Sequence[str]) -> None:
        """Install packages; what fails is said."""
        self._as_root("install", packages)

    def satisfy(self, dependencies: Sequence[str]) -> None:
        """Install what fulfils dependencies, written as in a package's `Depends`; what fails is said."""
        self._as_root("satisfy", dependencies)

    def download(self, packages: Sequence[str], folder: Path) -> list[Path]:
        """Download package files into a folder; APT checks them against its signed lists.

        Raises:
            UsageError: one was not to be had. It was said.
        """
        command = ["apt-get", "-qq", "download", *packages]
        try:
            self.run(command, folder, say=False)
        except UsageError:
            if os.geteuid() == 0:
                self._refresh()
            self.run(command, folder)
        return sorted(folder.glob("*.deb"))

    def field(self, file: Path, name: str) -> str:
        """A field of a package file; empty where it has none."""
        return self.run(["dpkg-deb", "--field", str(file), name]).strip()

    def run(self, command: Sequence[str], folder: Path | None = None, *, say: bool = True) -> str:
        """Run a program to its end, and return what it printed.

        Raises:
            UsageError: it failed, which was said unless `say` is off.
        """
        try:
            done = subprocess.run(
                command, cwd=folder, env=quiet_environment(), capture_output=True, check=False, timeout=_LIMIT_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UsageError(f"it did not run: {error}", field=command[0], hint=_HINT) from error
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").splitlines()
            reason = " ".join(line for line in lines if not line.startswith("W:"))[:300]
            if say:
                self._say(f"{' '.join(command[:3])} failed: {reason}")
            raise UsageError(f"it failed: {reason}", field=command[0], hint=_HINT)
        return done.stdout.decode(errors="replace")

    def _as_root(self, verb: str, what: Sequence[str]) -> None:
        self._refresh()
        with no_services(POLICY), contextlib.suppress(UsageError):
            self.run(["apt-get", "-qq", verb, "-y", "--no-install-recommends", *_WAIT, *what])

    def _refresh(self) -> None:
        if not self._is_fresh:
            with contextlib.suppress(UsageError):
                self.run(["apt-get", "-qq", "update"])
            self._is_fresh = True


def quiet_environment() -> dict[str, str]:
    """Our environment, with no questions asked and the policy in force."""
    return {**environment(), "DEBIAN_FRONTEND": "noninteractive", QUIET_VARIABLE: "1"}


@contextlib.contextmanager
def no_services(policy: Path) -> Iterator[None]:
    """Let no maintainer script that we cause start a service.

    A policy of the machine's own is left as it is. Ours forbids only what runs with our variable, so that it changes
    nothing for anyone else, nor when a kill leaves it behind.
    """
    try:
        with policy.open("x") as file:
            file.write(POLICY_TEXT)
        policy.chmod(0o755)
    except (FileExistsError, FileNotFoundError):
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            policy.unlink()

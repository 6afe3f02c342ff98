"""Checks of this machine: versions, ports, room to work, and what each installed component needs of it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator

from voicefleet.contract.errors import UsageError
from voicefleet.runtime.command.discovery import installed_modules, load
from voicefleet.runtime.command.finding import Finding, failure, ok, warning
from voicefleet.runtime.supervisor.ports import Ports

PINNED = {"livekit-agents": "1.8.9", "livekit": "1.1.21", "livekit-api": "1.2.2"}
"""The versions that the worker's adapter to private parts of the SDK was tested with."""

_CHECKS = "checks"
"""Package with a module for each check that a component brings: `check()` yields its findings."""
_LEAST_FREE_BYTES = 2 * 1024**3


def check_machine() -> Iterator[Finding]:
    """Everything that needs no network and no settings."""
    yield _python()
    yield from _packages()
    for module in installed_modules(_CHECKS):
        yield from load(_CHECKS, module).check()
    yield _ports()
    yield _cores()
    yield _disk()


def _python() -> Finding:
    return ok("python", f"{platform.python_version()}, {sys.executable}")


def _packages() -> Iterator[Finding]:
    for name, wanted in PINNED.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield warning(
                name, "not installed", "Needed by workers and callers: pip install 'voicefleet[worker,loadtest]'."
            )
            continue
        if version == wanted:
            yield ok(name, version)
        else:
            yield warning(name, f"{version}, tested with {wanted}", f"pip install {name}=={wanted}")


def _ports() -> Finding:
    try:
        with Ports() as ports:
            return ok("ports", f"free on loopback, for example {ports.tcp()} (tcp) and {ports.udp()} (udp)")
    except UsageError as error:
        return failure("ports", error.what, error.hint)


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0))
    if cores < 2:
        return warning("cores", str(cores), "The demo needs two; with one, answers come late.")
    return ok("cores", str(cores))


def _disk() -> Finding:
    place = tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    text = f"{free / 1024**3:.1f} GiB free in {place}"
    if free < _LEAST_FREE_BYTES:
        return warning("disk", text, "Make room, or set TMPDIR to a place with 2 GiB.")
    return ok("disk", text)

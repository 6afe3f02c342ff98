"""Checks of this machine: versions, programs, ports, room to work."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator

from voicefleet.contract.errors import UsageError
from voicefleet.doctor.finding import Finding, failure, ok, warning
from voicefleet.local.available import local_pipeline_missing
from voicefleet.runtime.supervisor.ports import Ports
from voicefleet.stack.find import Found, find_flite, find_livekit_server, find_redis_server

PINNED = {"livekit-agents": "1.8.9", "livekit": "1.1.21", "livekit-api": "1.2.2"}
"""The versions that the worker's adapter to private parts of the SDK was tested with."""

_LEAST_FREE_BYTES = 2 * 1024**3


def check_machine() -> Iterator[Finding]:
    """Everything that needs no network and no settings."""
    yield _python()
    yield from _packages()
    yield _program("livekit-server", find_livekit_server)
    yield _program("redis-server", find_redis_server)
    yield _program("flite", find_flite)
    yield _local_pipeline()
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


def _program(name: str, find: Callable[[], Found]) -> Finding:
    try:
        found = find()
    except UsageError as error:
        return warning(name, error.what, error.hint)
    return ok(name, f"{found.version}, {found.path} ({found.how})")


def _local_pipeline() -> Finding:
    missing = local_pipeline_missing()
    if missing:
        return warning("local pipeline", " ".join(missing), "Without it the demo runs the synthetic pipeline.")
    return ok("local pipeline", "Whisper, answers file and flite are here")


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

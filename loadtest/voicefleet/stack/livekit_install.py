"""Put livekit-server in place: built with Go when Go is new enough, else taken from the official release.

Neither way trusts what it fetches. Go checks each module against `go/go.sum`, the archive's SHA-256 stands below: both
are in this repository, so a mirror or a release page that is taken over cannot hand us another program. Nothing is done
twice: two runs at once wait for each other.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from voicefleet.contract.errors import MissingPartError, UsageError
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack.alone import alone
from voicefleet.stack.find import (
    LIVEKIT_PACKAGE,
    LIVEKIT_VARIABLE,
    LIVEKIT_VERSION,
    LIVEKIT_WAYS,
    Found,
    cached_livekit_server,
    find_go,
    find_livekit_server,
)

RELEASES = f"https://github.com/livekit/livekit/releases/download/v{LIVEKIT_VERSION}"
MODULE = Path(__file__).with_name("go")
"""The Go module that names livekit-server's version and, in go.sum, the checksum of each module it is built from."""

ARCHIVES: Mapping[str, str] = {
    "livekit_1.13.5_linux_amd64.tar.gz": "c020fac437b7cc9b776eef1ad5ea8af77be9acfa07602eca20a3a44930dfbc70",
    "livekit_1.13.5_linux_arm64.tar.gz": "332015305518765fe05bad74fc3a9d9583e635e7dd130de3c4fc563d69c550f3",
}
"""Official archive -> its SHA-256. One that is not here is not installed: there is nothing to check it against."""

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
    with alone(target.with_name("livekit-server.lock"), "livekit-server", say):
        with contextlib.suppress(MissingPartError):
            return find_livekit_server()
        for way, step in (("go build", build), ("download", lambda to, tell: download(to, tell, fetch))):
            try:
                step(target, say)
                return find_livekit_server()
            except (UsageError, OSError, KeyError, subprocess.SubprocessError, tarfile.TarError) as error:
                say(f"livekit-server: {way} did not work: {error}")
    raise MissingPartError(
        "livekit-server could be neither built nor downloaded (see the lines above)",
        field="livekit-server",
        hint=LIVEKIT_WAYS,
    )


def build(target: Path, say: Say) -> None:
    """`go build` into a temporary directory beside `target`, then one rename, so it is never half there.

    Raises:
        MissingPartError: there is no Go that is new enough.
        UsageError: it did not build; a module with another checksum than go.sum's is one reason.
    """
    go = find_go()
    if go is None:
        raise MissingPartError("no Go 1.26 or newer in PATH", field="go", hint="Install it from go.dev.")
    say(f"livekit-server: building {LIVEKIT_VERSION} with Go {go.version}; this takes a few minutes, once")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
        # Whatever GOFLAGS say, go.sum may not be written to, and no workspace around us counts.
        built = Path(folder).resolve() / "server"
        command = [str(go.path), "build", "-mod=readonly", "-o", str(built), LIVEKIT_PACKAGE]
        log = Path(folder) / "build.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=MODULE,
                env={**environment(), "GOWORK": "off"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            try:
                _wait(process, say)
            finally:
                process.kill()
                process.wait()
        if process.returncode != 0:
            raise UsageError(
                f"go exited with {process.returncode}: {_last_lines(log)}",
                field="go build",
                hint="Read its message above.",
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
    """The official release archive, refused unless its SHA-256 is the one in `ARCHIVES`.

    Raises:
        MissingPartError: there is no archive for this machine, or none with a known checksum.
        UsageError: what came is not the archive.
    """
    machine = _MACHINES.get(platform.machine().lower())
    if sys.platform != "linux" or machine is None:
        raise MissingPartError(
            f"there is no official release for {sys.platform} on {platform.machine()}",
            field="livekit-server",
            hint="Install it with your package manager (macOS: `brew install livekit`), or install Go.",
        )
    name = f"livekit_{LIVEKIT_VERSION}_linux_{machine}.tar.gz"
    wanted = ARCHIVES.get(name)
    if wanted is None:
        raise MissingPartError(
            "no SHA-256 of this archive is in the project, so it is not installed",
            field=name,
            hint="Install Go, which builds it from checked sources, or put a livekit-server of your own in PATH.",
        )
    say(f"livekit-server: downloading {name} from {RELEASES}")
    archive = (fetch or _fetch)(f"{RELEASES}/{name}")
    if (got := hashlib.sha256(archive).hexdigest()) != wanted:
        raise UsageError(
            f"the download is damaged or was replaced (SHA-256 {got}, not {wanted})",
            field=name,
            hint="Try again; if it stays so, do not use it and report it to LiveKit.",
        )
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as folder:
        packed = Path(folder) / name
        packed.write_bytes(archive)
        with tarfile.open(packed) as tar, (Path(folder) / "server").open("wb") as program:
            member = tar.extractfile("livekit-server")
            if member is None:
                raise tarfile.ReadError("the archive holds no livekit-server")
            shutil.copyfileobj(member, program)
        (Path(folder) / "server").chmod(0o755)
        (Path(folder) / "server").replace(target)


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        body: bytes = answer.read()
    return body

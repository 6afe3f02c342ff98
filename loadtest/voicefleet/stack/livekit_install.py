"""Put livekit-server in place: built with Go when Go is new enough, else taken from the official release.

Neither way trusts what it fetches. Go checks each module against `go/go.sum` (see `livekit_build`), the archive's
SHA-256 stands below: both are in this repository, so a mirror or a release page that is taken over cannot hand us
another program. Nothing is done twice: two runs at once wait for each other. Where only an older release is known by
its SHA-256, that one is downloaded, and gives way once there is a Go to build the tested version with.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from voicefleet.contract.errors import MissingPartError, UsageError
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack.alone import alone
from voicefleet.stack.find import (
    LIVEKIT_RELEASE,
    LIVEKIT_VARIABLE,
    LIVEKIT_VERSION,
    LIVEKIT_WAYS,
    Found,
    cache_directory,
    cached_livekit_server,
    find_go,
    find_livekit_server,
)
from voicefleet.stack.livekit_build import go_build

RELEASES = f"https://github.com/livekit/livekit/releases/download/v{LIVEKIT_RELEASE}"

ARCHIVES: Mapping[str, str] = {
    "livekit_1.13.5_linux_amd64.tar.gz": "c020fac437b7cc9b776eef1ad5ea8af77be9acfa07602eca20a3a44930dfbc70",
    "livekit_1.13.5_linux_arm64.tar.gz": "332015305518765fe05bad74fc3a9d9583e635e7dd130de3c4fc563d69c550f3",
}
"""Official archive of `LIVEKIT_RELEASE` -> its SHA-256. Any other is not installed: nothing vouches for it."""

Say = Callable[[str], None]
Fetch = Callable[[str], bytes]

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64", "armv7l": "armv7"}


def install_livekit_server(say: Say, fetch: Fetch | None = None) -> Found:
    """Find livekit-server, or build it, or download it into the cache.

    Raises:
        MissingPartError: no way worked; the message says what each one answered.
    """
    if (found := _settled()) is not None:
        return found
    if environment().get(LIVEKIT_VARIABLE):
        return find_livekit_server()  # raises: the user named one, so we put none of ours in its place
    with alone(cache_directory() / "livekit-server" / "lock", "livekit-server", say):
        if (found := _settled()) is not None:
            return found
        for way, step in (("go build", build), ("download", lambda say: download(say, fetch))):
            try:
                step(say)
                return find_livekit_server()
            except (UsageError, OSError, KeyError, subprocess.SubprocessError, tarfile.TarError) as error:
                say(f"livekit-server: {way} did not work: {error}")
    raise MissingPartError(
        "livekit-server could be neither built nor downloaded (see the lines above)",
        field="livekit-server",
        hint=LIVEKIT_WAYS,
    )


def _settled() -> Found | None:
    """The livekit-server that is there, unless it is a release that stands in and can now be built instead."""
    try:
        found = find_livekit_server()
    except MissingPartError:
        return None
    stands_in = LIVEKIT_RELEASE != LIVEKIT_VERSION and found.path == cached_livekit_server(version=LIVEKIT_RELEASE)
    return None if stands_in and find_go() is not None else found


def build(say: Say) -> None:
    """Build the tested version into the cache.

    Raises:
        MissingPartError: there is no Go that is new enough.
        UsageError: it did not build.
    """
    go = find_go()
    if go is None:
        raise MissingPartError("no Go 1.26 or newer in PATH", field="go", hint="Install it from go.dev.")
    say(f"livekit-server: building {LIVEKIT_VERSION} with Go {go.version}; this takes a few minutes, once")
    target = cached_livekit_server()
    target.parent.mkdir(parents=True, exist_ok=True)
    go_build(go.path, target, say)


def download(say: Say, fetch: Fetch | None = None) -> None:
    """The official archive of `LIVEKIT_RELEASE`, refused unless its SHA-256 is the one in `ARCHIVES`.

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
    target = cached_livekit_server(version=LIVEKIT_RELEASE)
    if target.is_file():
        return
    name = f"livekit_{LIVEKIT_RELEASE}_linux_{machine}.tar.gz"
    wanted = ARCHIVES.get(name)
    if wanted is None:
        raise MissingPartError(
            "no SHA-256 of this archive is in the project, so it is not installed",
            field=name,
            hint="Install Go, which builds it from checked sources, or put a livekit-server of your own in PATH.",
        )
    say(f"livekit-server: downloading {name} from {RELEASES}")
    if LIVEKIT_RELEASE != LIVEKIT_VERSION:
        say(
            f"livekit-server: this is {LIVEKIT_RELEASE}, not the tested {LIVEKIT_VERSION}, whose archive has no "
            "SHA-256 in the project; with Go installed, the next set-up builds it"
        )
    archive = (fetch or _fetch)(f"{RELEASES}/{name}")
    if (got := hashlib.sha256(archive).hexdigest()) != wanted:
        raise UsageError(
            f"the download is damaged or was replaced (SHA-256 {got}, not {wanted})",
            field=name,
            hint="Try again; if it stays so, do not use it and report it to LiveKit.",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
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

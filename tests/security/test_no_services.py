"""Finding 13: what set-up brings in starts no service. A real package, from a real archive, with a script that does."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from voicefleet.stack import debian, find

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("apt-get"), reason="there is no APT on this kind of machine"),
]

CONTROL = """Package: noisy
Version: 1.0
Architecture: all
Maintainer: voicefleet's tests <nobody@example.invalid>
Description: starts a server as soon as it is installed
"""
# Debian's own scripts do it by way of systemd; here it is started directly, which no policy could prevent.
POSTINST = """#!/bin/sh
{python} -m http.server --bind 127.0.0.1 {port} >/dev/null 2>&1 &
echo $! >{pid}
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
    return number


@pytest.fixture
def pid_file(tmp_path: Path) -> Iterator[Path]:
    """Where the package's script notes the server it started, which is ended after the test."""
    file = tmp_path / "noisy.pid"
    yield file
    if file.exists():
        os.kill(int(file.read_text()), signal.SIGKILL)


@pytest.fixture
def noisy(tmp_path: Path, port: int, pid_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive on disk with a package that starts a server. APT asks it and nothing else."""
    package = tmp_path / "package"
    for folder in ("DEBIAN", "usr/bin", "etc/init.d"):
        (package / folder).mkdir(parents=True)
    (package / "DEBIAN/control").write_text(CONTROL)
    python = shutil.which("python3")
    for name, text in (
        ("DEBIAN/postinst", POSTINST.format(python=python, port=port, pid=pid_file)),
        ("usr/bin/noisy", "#!/bin/sh\necho noisy 1.0\n"),
        ("etc/init.d/noisy", "#!/bin/sh\n"),
    ):
        (package / name).write_text(text)
        (package / name).chmod(0o755)
    archive = tmp_path / "archive"
    archive.mkdir()
    file = archive / "noisy_1.0_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", package, file], check=True, capture_output=True)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    entry = f"{CONTROL}Filename: ./{file.name}\nSize: {file.stat().st_size}\nSHA256: {digest}\n\n"
    (archive / "Packages.gz").write_bytes(gzip.compress(entry.encode()))
    _use_only(archive, tmp_path / "apt", monkeypatch)
    monkeypatch.setenv("VOICEFLEET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(debian, "WITH_SERVICE", {"noisy": ("noisy",)})
    return package


def _use_only(archive: Path, apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An APT with lists and caches of its own, so that nothing of this machine's is read for them or changed."""
    for folder in ("lists/partial", "cache/archives/partial", "parts"):
        (apt / folder).mkdir(parents=True)
    sources = apt / "sources.list"
    sources.write_text(f"deb [trusted=yes] file:{archive} ./\n")
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": apt / "parts",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",
    }
    config = apt / "apt.conf"
    config.write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    monkeypatch.setenv("APT_CONFIG", str(config))
    subprocess.run(["apt-get", "-qq", "update"], check=True, capture_output=True)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_package_with_a_service_leaves_nothing_running_listening_or_registered(
    noisy: Path, port: int, pid_file: Path
) -> None:
    said = list[str]()
    debian.provide(["noisy"], said.append)
    program = find.which("noisy")
    assert program is not None, said
    assert find.program_version(program) == "1.0"
    assert not pid_file.exists(), "a script of the package ran"
    assert not is_listening(port)
    known = subprocess.run(["dpkg-query", "-W", "noisy"], capture_output=True, check=False)
    assert known.returncode != 0, "the package is installed: its service starts at the next boot"
    assert not Path("/etc/init.d/noisy").exists()


def test_the_package_of_these_tests_does_start_a_server_when_its_script_runs(
    noisy: Path, port: int, pid_file: Path
) -> None:
    subprocess.run([noisy / "DEBIAN/postinst", "configure"], check=True)
    deadline = time.monotonic() + 30
    while not is_listening(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_listening(port)


def test_a_package_that_was_replaced_on_its_way_is_refused(noisy: Path, tmp_path: Path) -> None:
    with (tmp_path / "archive/noisy_1.0_all.deb").open("r+b") as file:
        file.seek(-8, os.SEEK_END)
        file.write(b"replaced")
    said = list[str]()
    debian.provide(["noisy"], said.append)
    assert find.which("noisy") is None
    assert any("Hash Sum mismatch" in line or "unexpected size" in line for line in said), said

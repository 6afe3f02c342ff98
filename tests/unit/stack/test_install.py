from __future__ import annotations

import hashlib
import io
import platform
import sys
import tarfile
from pathlib import Path

import pytest

from voicefleet.contract.errors import MissingPartError
from voicefleet.stack import find, install, livekit_install

pytestmark = pytest.mark.unit

SERVER = b"#!/bin/sh\necho livekit-server version 1.13.5\n"


def archive(name: str = "livekit-server") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(SERVER)
        tar.addfile(member, io.BytesIO(SERVER))
    return packed.getvalue()


class Release:
    """A release site in memory."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.asked: list[str] = []

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        return self.body


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing in PATH, an empty cache, a known kind of machine."""
    for name in ("VOICEFLEET_LIVEKIT_SERVER", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VOICEFLEET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "platform", "linux")
    pin(archive(), monkeypatch)
    return tmp_path


def pin(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = {f"livekit_{find.LIVEKIT_VERSION}_linux_amd64.tar.gz": hashlib.sha256(body).hexdigest()}
    monkeypatch.setattr(livekit_install, "ARCHIVES", pins)


def fake_go(folder: Path, body: str) -> None:
    folder.mkdir()
    go = folder / "go"
    go.write_text(f'#!/bin/sh\n[ "$1" = version ] && echo go version go1.26.1 && exit\n{body}\n')
    go.chmod(0o755)


def test_without_go_the_release_is_downloaded_and_checked(bare_machine: Path) -> None:
    release, said = Release(archive()), list[str]()
    found = livekit_install.install_livekit_server(said.append, release)
    assert found.path == bare_machine / "cache/bin/livekit-server"
    assert found.path.read_bytes() == SERVER
    name = "livekit_1.13.5_linux_amd64.tar.gz"
    assert release.asked == [f"https://github.com/livekit/livekit/releases/download/v1.13.5/{name}"]
    assert any("no Go 1.26" in line for line in said)
    assert sorted(path.name for path in found.path.parent.iterdir()) == ["livekit-server", "livekit-server.lock"]


def test_a_second_run_does_nothing() -> None:
    livekit_install.install_livekit_server(lambda line: None, Release(archive()))
    said = list[str]()
    again = Release(b"")
    assert livekit_install.install_livekit_server(said.append, again).how == "the cache"
    assert said == []
    assert again.asked == []


def test_a_download_with_another_checksum_is_never_put_in_place(bare_machine: Path) -> None:
    said = list[str]()
    with pytest.raises(MissingPartError, match="neither built nor downloaded"):
        livekit_install.install_livekit_server(said.append, Release(archive() + b"more"))
    assert any("damaged or was replaced" in line for line in said)
    assert [path.name for path in (bare_machine / "cache/bin").iterdir()] == ["livekit-server.lock"]


@pytest.mark.parametrize("body", [b"not an archive", archive("something-else")])
def test_an_archive_without_the_program_is_a_clear_failure(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    pin(body, monkeypatch)
    with pytest.raises(MissingPartError):
        livekit_install.install_livekit_server(lambda line: None, Release(body))


def test_go_builds_it_when_it_can(bare_machine: Path) -> None:
    write = 'printf "#!/bin/sh\\necho livekit-server version 1.13.5 in $PWD: $*\\n" >"$4"'
    fake_go(bare_machine / "bin", f'{write}; /bin/chmod +x "$4"')
    release = Release(archive())
    found = livekit_install.install_livekit_server(lambda line: None, release)
    assert f"in {livekit_install.MODULE}: build -mod=readonly -o" in found.path.read_text()
    assert find.LIVEKIT_PACKAGE in found.path.read_text()
    assert release.asked == []


def test_a_failing_build_says_why_and_falls_back_to_the_download(bare_machine: Path) -> None:
    fake_go(bare_machine / "bin", "echo no route to the module >&2; exit 1")
    said = list[str]()
    livekit_install.install_livekit_server(said.append, Release(archive()))
    assert any("no route to the module" in line for line in said)


def test_a_server_that_the_user_names_wrongly_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEFLEET_LIVEKIT_SERVER", "/no/such")
    release = Release(archive())
    with pytest.raises(MissingPartError, match="VOICEFLEET_LIVEKIT_SERVER"):
        livekit_install.install_livekit_server(lambda line: None, release)
    assert release.asked == []


@pytest.mark.parametrize("machine", ["armv7l", "aarch64"])
def test_an_archive_without_a_known_checksum_is_not_even_fetched(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    release, said = Release(archive()), list[str]()
    with pytest.raises(MissingPartError):
        livekit_install.install_livekit_server(said.append, release)
    assert release.asked == []
    assert any("no SHA-256 of this archive is in the project" in line and "Install Go" in line for line in said)


def test_missing_parts_are_counted_not_thrown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(say: install.Say) -> find.Found:
        raise MissingPartError("gone", field="part", hint="Get it.")

    there = find.Found(Path("/bin/x"), "PATH", "1.0")
    monkeypatch.setattr(install, "PARTS", {"a": missing, "b": lambda say: there, "c": missing})
    monkeypatch.setattr(install, "OPTIONAL", {"c": "the cat"})
    monkeypatch.setattr(install, "NEEDED", {"setup": ("a", "b", "c"), "lint": ("b",)})
    assert install.main([]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == ["b: 1.0, /bin/x (from PATH)", "c: not there; only the cat needs it. Get it."]
    assert err == "part: gone. Get it.\n"
    assert install.main(["--quiet"]) == 1
    assert capsys.readouterr() == ("", "part: gone. Get it.\n")
    assert install.main(["lint"]) == 0
    assert capsys.readouterr() == ("b: 1.0, /bin/x (from PATH)\n", "")
    assert install.main(["diner"]) == 2
    assert "Use one of setup, lint." in capsys.readouterr().err

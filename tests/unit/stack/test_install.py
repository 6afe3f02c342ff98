from __future__ import annotations

import hashlib
import io
import platform
import sys
import tarfile
from pathlib import Path

import pytest

from voicefleet.contract.errors import MissingPartError
from voicefleet.stack import find, install, livekit_build, livekit_install

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
    pins = {f"livekit_{find.LIVEKIT_RELEASE}_linux_amd64.tar.gz": hashlib.sha256(body).hexdigest()}
    monkeypatch.setattr(livekit_install, "ARCHIVES", pins)


def files_in_cache(machine: Path) -> list[str]:
    folder = machine / "cache/livekit-server"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


SOURCE = "vendor/github.com/livekit/livekit-server/pkg/rtc/transport.go"
VENDOR = f"/bin/mkdir -p ${{PWD}}/{SOURCE.rpartition('/')[0]}; printf '\\t\\tse.EnableSped(true)\\n' >{SOURCE}"


def fake_go(folder: Path, build: str, vendor: str = VENDOR) -> None:
    folder.mkdir()
    go = folder / "go"
    go.write_text(
        '#!/bin/sh\n[ "$1" = version ] && echo go version go1.26.1 && exit\n'
        f'[ "$1" = mod ] && {{ {vendor}; exit; }}\n{build}\n'
    )
    go.chmod(0o755)


BUILD = f'''printf "#!/bin/sh\\necho livekit-server version 1.13.11 with $*\\n# $(/bin/cat {SOURCE})" >"$4"
/bin/chmod +x "$4"'''


def test_without_go_the_release_is_downloaded_and_checked(bare_machine: Path) -> None:
    release, said = Release(archive()), list[str]()
    found = livekit_install.install_livekit_server(said.append, release)
    assert found.path == bare_machine / "cache/livekit-server/1.13.5/livekit-server"
    assert found.path.read_bytes() == SERVER
    name = "livekit_1.13.5_linux_amd64.tar.gz"
    assert release.asked == [f"https://github.com/livekit/livekit/releases/download/v1.13.5/{name}"]
    assert any("no Go 1.26" in line for line in said)
    assert any("this is 1.13.5, not the tested 1.13.11" in line for line in said)
    assert files_in_cache(bare_machine) == ["1.13.5/livekit-server", "lock"]


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
    assert files_in_cache(bare_machine) == ["lock"]


@pytest.mark.parametrize("body", [b"not an archive", archive("something-else")])
def test_an_archive_without_the_program_is_a_clear_failure(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    pin(body, monkeypatch)
    with pytest.raises(MissingPartError):
        livekit_install.install_livekit_server(lambda line: None, Release(body))


def test_go_builds_it_when_it_can(bare_machine: Path) -> None:
    fake_go(bare_machine / "bin", BUILD)
    release = Release(archive())
    found = livekit_install.install_livekit_server(lambda line: None, release)
    assert found == find.Found(bare_machine / "cache/livekit-server/1.13.11/livekit-server", "the cache", "1.13.11")
    assert f"with build -mod=vendor -o {found.path.parent}" in found.path.read_text()
    assert find.LIVEKIT_PACKAGE in found.path.read_text()
    assert livekit_build.AFTER.decode().strip() in found.path.read_text()
    assert release.asked == []
    assert files_in_cache(bare_machine) == ["1.13.11/livekit-server", "lock"]


def test_a_release_that_stands_in_gives_way_to_a_build(bare_machine: Path) -> None:
    release = Release(archive())
    assert livekit_install.install_livekit_server(lambda line: None, release).version == "1.13.5"
    fake_go(bare_machine / "bin", "exit 1")
    said = list[str]()
    assert livekit_install.install_livekit_server(said.append, release).version == "1.13.5"
    assert any("go build did not work" in line for line in said)
    assert len(release.asked) == 1, "what is there is not downloaded again"
    (bare_machine / "bin/go").unlink()
    (bare_machine / "bin").rmdir()
    fake_go(bare_machine / "bin", BUILD)
    assert livekit_install.install_livekit_server(lambda line: None, release).version == "1.13.11"


@pytest.mark.parametrize(
    ("vendor", "says"),
    [
        (f"{VENDOR}; echo more >>go.sum", "has no checksum in the project"),
        (VENDOR.replace("Sped", "Warp"), "not the livekit-server that the build was written for"),
    ],
)
def test_other_sources_are_not_built(vendor: str, says: str, bare_machine: Path) -> None:
    fake_go(bare_machine / "bin", BUILD, vendor)
    said = list[str]()
    assert livekit_install.install_livekit_server(said.append, Release(archive())).version == "1.13.5"
    assert any(says in line for line in said)


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

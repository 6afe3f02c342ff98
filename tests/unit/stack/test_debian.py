from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from voicefleet.stack import debian
from voicefleet.stack.debian import put_in_place
from voicefleet.stack.find import ALERTMANAGER_DATA

pytestmark = pytest.mark.unit

# Notes what it was asked; a download leaves a file for each package.
APT = """#!/bin/sh
echo "VOICEFLEET_SETUP=$VOICEFLEET_SETUP apt-get $*" >>{log}
for last; do :; done
case "$*" in *download*) : >"$last.deb" ;; esac
"""
DPKG = """#!/bin/sh
echo "dpkg-deb $1" >>{log}
case "$1" in
--extract) /bin/mkdir -p "$3/usr/bin" && : >"$3/usr/bin/program" ;;
--field) echo "adduser, libc6 (>= 2.34), libjs-jquery, telnet | telnet-client, libpq5" ;;
esac
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a Debian machine's APT and dpkg were asked, by root."""
    noted = tmp_path / "log"
    noted.touch()
    for name, text in (("apt-get", APT), ("dpkg-deb", DPKG)):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text.format(log=noted))
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("VOICEFLEET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(debian, "POLICY", tmp_path / "no/such/policy")
    return noted


def asked(log: Path) -> list[str]:
    return log.read_text().splitlines()


def test_a_package_with_a_service_is_unpacked_and_never_installed(log: Path, tmp_path: Path) -> None:
    debian.provide(["coturn", "flite"], lambda line: None)
    installs = [line for line in asked(log) if " install " in line]
    assert len(installs) == 1
    assert installs[0].endswith(" flite")
    assert (tmp_path / "cache/packages/coturn/usr/bin/program").exists()


@pytest.mark.parametrize("package", debian.WITH_SERVICE)
def test_no_package_with_a_service_is_ever_named_to_be_installed(package: str, log: Path) -> None:
    debian.provide([package], lambda line: None)
    for line in asked(log):
        if " install " in line or " satisfy " in line:
            assert not any(name in line.split() for name in (package, *debian.WITH_SERVICE[package]))


def test_of_what_an_unpacked_package_depends_on_only_libraries_are_installed(log: Path) -> None:
    debian.provide(["coturn"], lambda line: None)
    (satisfied,) = [line for line in asked(log) if " satisfy " in line]
    assert satisfied.endswith(" libc6 (>= 2.34) libpq5")


def test_nothing_recommended_comes_along_and_every_call_is_under_the_policy(log: Path) -> None:
    debian.provide(["coturn", "flite"], lambda line: None)
    calls = [line for line in asked(log) if "apt-get" in line]
    assert all(line.startswith("VOICEFLEET_SETUP=1 ") for line in calls)
    assert all("--no-install-recommends" in line for line in calls if " install " in line or " satisfy " in line)


def test_what_is_unpacked_already_is_left_alone(log: Path) -> None:
    debian.provide(["coturn"], lambda line: None)
    log.write_text("")
    debian.provide(["coturn"], lambda line: None)
    assert asked(log) == []


def test_who_is_not_root_can_unpack_but_installs_nothing(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    debian.provide(["prometheus", "flite"], lambda line: None)
    assert [line for line in asked(log) if "apt-get" in line] == ["VOICEFLEET_SETUP=1 apt-get -qq download prometheus"]


def test_a_download_that_fails_is_said_and_leaves_nothing_half_there(log: Path, tmp_path: Path) -> None:
    (tmp_path / "bin/apt-get").write_text("#!/bin/sh\necho E: Unable to locate package >&2\nexit 100\n")
    said = list[str]()
    debian.provide(["prometheus"], said.append)
    assert any("Unable to locate package" in line for line in said)
    assert [path.name for path in (tmp_path / "cache/packages").iterdir()] == ["packages.lock"]


def test_the_policy_forbids_services_to_what_we_start_and_to_nobody_else(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with debian.no_services(policy):
        ours = subprocess.run([policy, "noisy", "start"], env={debian.QUIET_VARIABLE: "1"}, check=False)
        others = subprocess.run([policy, "noisy", "start"], env={}, check=False)
    assert (ours.returncode, others.returncode) == (101, 0)
    assert not policy.exists()


def test_a_policy_of_the_machines_own_is_left_as_it_is(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 104\n")
    with debian.no_services(policy):
        assert policy.read_text() == "#!/bin/sh\nexit 104\n"
    assert policy.read_text() == "#!/bin/sh\nexit 104\n"


def test_the_policy_goes_when_an_installation_breaks_off(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with pytest.raises(RuntimeError), debian.no_services(policy):
        raise RuntimeError
    assert not policy.exists()


def test_what_a_program_reads_in_one_place_alone_is_put_there_once(tmp_path: Path) -> None:
    unpacked, root = tmp_path / "unpacked", tmp_path / "root"
    data = unpacked / ALERTMANAGER_DATA.relative_to("/")
    data.mkdir(parents=True)
    (data / "default.tmpl").write_text("ours")
    put_in_place("prometheus-alertmanager", unpacked, root)
    there = root / ALERTMANAGER_DATA.relative_to("/") / "default.tmpl"
    assert there.read_text() == "ours"
    there.write_text("the machine's own")
    put_in_place("prometheus-alertmanager", unpacked, root)
    assert there.read_text() == "the machine's own"

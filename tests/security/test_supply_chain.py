"""Finding 13 and its kind: whoever answers for a registry, a release page or a mirror cannot hand us other bytes."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cluster.programs import GO_PROGRAMS
from voicefleet.stack import caller_program, find, install, livekit_build, livekit_install

pytestmark = pytest.mark.unit

TREE = Path(__file__).resolve().parents[2]
DEV = TREE / "scripts/dev.lock"
LOCKS = sorted(file for file in TREE.glob("*/*.lock") if not file.parent.name.startswith("."))
DOCKERFILES = sorted(TREE.glob("*/Dockerfile"))
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
PINNED_IMAGE = re.compile(r"[a-z0-9./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
PROJECT = tomllib.loads((TREE / "pyproject.toml").read_text())
EXTRAS: Mapping[str, list[str]] = PROJECT["project"]["optional-dependencies"]
GROUPS: Mapping[str, list[str]] = PROJECT["dependency-groups"]
BASE: list[str] = PROJECT["project"]["dependencies"]

# Extras that the development environment has from a lock of their own, or, as opt-in models, not at all.
ALONE = ("all", "quality", "smart-turn", "smollm", "piper")

# Lock -> what it must pin.
CONTENT = {
    "scripts/dev.lock": [
        *BASE,
        *(entry for name, extra in EXTRAS.items() if name not in ALONE for entry in extra),
        # Machines that build the callers' program have a Go of their own; the image has not.
        *(entry for name, group in GROUPS.items() if name != "go" for entry in group),
    ],
    "scripts/installer.lock": GROUPS["installer"],
    "scripts/compile.lock": GROUPS["compile"],
    "scripts/quality.lock": EXTRAS["quality"],
    "scripts/smart-turn.lock": EXTRAS["smart-turn"],
    "scripts/smollm.lock": EXTRAS["smollm"],
    "scripts/build.lock": GROUPS["build"],
    "scripts/go.lock": GROUPS["go"],
    "worker/requirements.lock": [*BASE, *EXTRAS["worker"]],
    "worker/requirements-local.lock": [*BASE, *EXTRAS["worker"], *EXTRAS["local"]],
    "controller/requirements.lock": [*BASE, *EXTRAS["controller"]],
    "loadtest/requirements.lock": [*BASE, *EXTRAS["loadtest"]],
}


def entries(lock: Path) -> Iterator[tuple[Requirement, str]]:
    """Each requirement of a lock, with the text of its hashes."""
    for block in re.split(r"\n(?=[A-Za-z0-9])", lock.read_text()):
        if block and not block.startswith(("#", " ")):
            yield Requirement(block.partition("\\")[0].strip()), block


def versions(lock: Path) -> Mapping[str, set[str]]:
    """Package -> its versions, of which a universal lock may have one for each Python."""
    found = defaultdict[str, set[str]](set)
    for requirement, _ in entries(lock):
        found[canonicalize_name(requirement.name)].add(str(requirement.specifier).removeprefix("=="))
    return found


def test_every_lock_is_known_here() -> None:
    assert [str(lock.relative_to(TREE)) for lock in LOCKS] == sorted(CONTENT)


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_a_lock_pins_every_package_to_one_version_and_its_hashes(lock: Path) -> None:
    assert len(list(entries(lock))) > 0
    for requirement, block in entries(lock):
        assert re.fullmatch(r"==[\w.+]+", str(requirement.specifier)), block.splitlines()[0]
        assert requirement.url is None
        assert HASH.search(block), f"{requirement} has no hash"
    assert "://" not in lock.read_text()


@pytest.mark.parametrize("name", CONTENT)
def test_a_lock_pins_what_the_project_asks_for(name: str) -> None:
    pinned = versions(TREE / name)
    for wanted in map(Requirement, CONTENT[name]):
        got = pinned.get(canonicalize_name(wanted.name), set())
        assert got, f"{wanted} is not in {name}: run `make lock`"
        assert all(wanted.specifier.contains(version) for version in got), f"{wanted}, not {got}: run `make lock`"


# These hold what set-up alone installs, on top of dev.lock: no image runs it.
ELSEWHERE = ("scripts/quality.lock", "scripts/smart-turn.lock", "scripts/smollm.lock", "scripts/go.lock")


@pytest.mark.parametrize("name", [name for name in CONTENT if name not in ELSEWHERE])
def test_what_images_run_is_what_was_tested(name: str) -> None:
    tested = versions(DEV)
    other = {package: got for package, got in versions(TREE / name).items() if not got <= tested[package]}
    assert other == {}, f"{name} has versions that dev.lock has not: run `make lock`"


def commands(script: Path) -> Iterator[str]:
    """Commands of a shell script or Dockerfile that install Python packages, one line each."""
    text = re.sub(r"(?m)^\s*#.*\n", "", script.read_text()).replace("\\\n", " ")
    for command in re.split(r"\n|&&|\|\|", text):
        if re.search(r"\b(pip|uv)\b.* (install|sync|wheel) ", command) and "uv()" not in command:
            yield " ".join(command.split())


@pytest.mark.parametrize("script", [TREE / "scripts/setup.sh", *DOCKERFILES], ids=str)
def test_nothing_is_installed_without_its_hash(script: Path) -> None:
    found = list(commands(script))
    assert len(found) >= 3
    for command in found:
        ours = re.search(r"--editable \.$|wheels/\*\.whl$|--wheel-dir wheels \.$", command)
        if ours:
            assert "--no-deps" in command, command
        else:
            assert "--require-hashes" in command, command
        if not re.search(r"--no-build |--only-binary :all: |--root /project", command):
            assert "--no-build-isolation" in command, f"{command}: a build's own requirements are in no lock"


def test_set_up_runs_no_build_that_is_not_locked() -> None:
    text = (TREE / "scripts/setup.sh").read_text().replace("\\\n", " ")
    for form in (
        r"pip install .*--only-binary :all: .*--require-hashes .*scripts/installer\.lock",
        r"uv install .*--no-build .*--require-hashes .*scripts/compile\.lock",
        r"uv sync .*--no-build-isolation .*--require-hashes .*scripts/dev\.lock",
    ):
        assert re.search(form, text), form
    stamp = re.search(r"wanted=.*?\)", text)
    assert stamp is not None
    for lock in ("compile", "dev", "installer", "quality"):
        assert f"scripts/{lock}.lock" in stamp[0], "a new lock must lead to a new installation"


def test_images_are_built_on_a_digest() -> None:
    bases = set[str]()
    assert len(DOCKERFILES) == 3
    for file in DOCKERFILES:
        text = file.read_text()
        bases |= set(re.findall(r"(?m)^ARG BASE=(\S+)", text))
        assert set(re.findall(r"(?m)^FROM (\S+)", text)) == {"${BASE}"}
        assert set(re.findall(r"COPY --from=(\S+)", text)) == {"build"}
    (base,) = bases
    assert PINNED_IMAGE.fullmatch(base)


def test_the_charts_own_servers_go_by_a_digest() -> None:
    values = yaml.safe_load((TREE / "helm/voicefleet/values.yaml").read_text())["devStack"]
    for server in ("livekit", "redis"):
        image = values[server]["image"]
        assert PINNED_IMAGE.fullmatch(f"{image['repository']}:{image['tag']}@{image['digest']}"), server
    assert values["livekit"]["image"]["tag"] == f"v{find.LIVEKIT_RELEASE}"


def test_release_archives_have_their_checksum_in_the_project() -> None:
    assert livekit_install.ARCHIVES
    for name, digest in livekit_install.ARCHIVES.items():
        assert name.startswith(f"livekit_{find.LIVEKIT_RELEASE}_"), "a new version needs new checksums"
        assert re.fullmatch(r"[0-9a-f]{64}", digest)


GO_MODULES = sorted(
    {livekit_build.MODULE, caller_program.SOURCES, *(program.module for program in GO_PROGRAMS.values())}
)


@pytest.mark.parametrize("module", GO_MODULES, ids=lambda module: module.name)
def test_what_go_builds_has_the_checksum_of_each_module(module: Path) -> None:
    required = re.findall(r"(?m)^(?:require )?\s*([\w.-]+\.[\w./-]+) (v\S+)", (module / "go.mod").read_text())
    sums = (module / "go.sum").read_text()
    replaced = set(re.findall(r"(?m)^\s*(?:replace )?([\w./-]+) =>", (module / "go.mod").read_text()))
    assert len(required) > 20
    missing = [f"{path} {version}" for path, version in required if f"{path} {version}" not in sums]
    assert [entry for entry in missing if entry.split()[0] not in replaced] == []


def test_the_go_module_builds_the_server_that_we_look_for() -> None:
    text = (livekit_build.MODULE / "go.mod").read_text()
    assert re.search(rf"github\.com/livekit/livekit-server v{re.escape(find.LIVEKIT_VERSION)}( // indirect)?\n", text)
    assert f"tool {find.LIVEKIT_PACKAGE}\n" in text


def test_no_script_fetches_a_program_past_the_pins() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=TREE, capture_output=True, check=False).stdout.decode()
    files = [TREE / name for name in listed.split("\0") if name] or [file for file in TREE.rglob("*") if file.is_file()]
    scripts = [
        file
        for file in files
        if (file.suffix in (".py", ".sh") or file.name in ("Makefile", "Dockerfile", "run"))
        and file.is_file()
        and file != Path(__file__)
    ]
    assert len(scripts) > 300
    past = re.compile(r"\bgo (install|get|run) |\bcurl\b.*\|\s*(ba)?sh\b|GONOSUMDB=|GOINSECURE=|\bnpx? (install|-y)")
    assert [str(file) for file in scripts if past.search(file.read_text())] == []


def test_every_target_makes_ready_what_it_runs_and_no_more() -> None:
    makefile = (TREE / "Makefile").read_text()
    asked = re.findall(r"(?m)^([a-z]+):.* ?ready-([a-z]+)\b", makefile)
    assert {target for target, _ in asked} == {
        *("cluster", "demo", "examples", "parts", "lint", "fmt", "bench", "chaos", "soak", "dashboards", "lock"),
    }
    assert {target: ready for target, ready in asked if target != ready} == {"parts": "test"}
    assert {ready for _, ready in asked} == set(install.NEEDED) - {"setup"}
    assert set(install.NEEDED["setup"]) == set(install.PARTS)
    assert set(install.OPTIONAL) < set(install.PARTS)


@pytest.mark.parametrize("target", ["demo", "bench"])
def test_the_demo_installs_no_browser_no_prometheus_and_no_relay(target: str) -> None:
    assert set(install.parts_of(target)) <= {"livekit-server", "redis-server", "flite", "voicefleet-caller"}

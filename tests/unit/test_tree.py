"""Guards of the source tree: what must never be in it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

TREE = Path(__file__).resolve().parents[2]
SKIPPED_FOLDERS = {"__pycache__", "dist", "node_modules"}

# Put together here, so that this file does not hold them.
REGISTRY_HOSTS = [
    ".".join(labels)
    for labels in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("conda", "anaconda", "org"),
    )
]
# A folder name after a dot or a letter is part of a longer, relative path.
MACHINE_PATH = re.compile(r"(?<![\w.\-}*])/(?:" + "|".join(("root", "work")) + ")/")


def project_files() -> Iterator[Path]:
    """Files that are tracked or would be; in a copy without git, all but hidden and generated ones."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=TREE,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        names = [Path(name) for name in listed.stdout.decode().split("\0") if name]
    else:
        names = [path.relative_to(TREE) for path in TREE.rglob("*") if not _generated(path.relative_to(TREE))]
    return (TREE / name for name in names if (TREE / name).is_file())


def _generated(name: Path) -> bool:
    return any(part in SKIPPED_FOLDERS or (part.startswith(".") and part != ".ci") for part in name.parts)


def texts() -> Iterator[tuple[Path, str]]:
    for path in project_files():
        data = path.read_bytes()
        if b"\0" not in data:
            yield path.relative_to(TREE), data.decode(errors="replace")


def test_voicefleet_is_a_namespace_in_every_component() -> None:
    roots = [path for path in TREE.glob("*/voicefleet") if path.is_dir()]
    assert len(roots) >= 3
    assert [root for root in roots if (root / "__init__.py").exists()] == [], (
        "an __init__.py here hides the packages of all other components"
    )


def shared_packages() -> list[Path]:
    """The packages to which several components add modules; namespaces, as `voicefleet` itself."""
    return [folder for name in ("commands", "checks") for folder in TREE.glob(f"*/voicefleet/{name}")]


def test_what_several_components_add_to_is_a_namespace() -> None:
    assert len(shared_packages()) >= 6
    assert [folder for folder in shared_packages() if (folder / "__init__.py").exists()] == []


def test_every_package_has_an_init_file() -> None:
    packages = {path.parent for path in TREE.glob("*/voicefleet/*/**/*.py")} - set(shared_packages())
    assert sorted(str(package) for package in packages if not (package / "__init__.py").exists()) == []


def test_no_file_names_a_package_registry() -> None:
    found = [f"{name}: {host}" for name, text in texts() for host in REGISTRY_HOSTS if host in text]
    assert found == [], "packages come from wherever the user's own settings say"


def test_no_file_holds_a_path_of_one_machine() -> None:
    found = [
        f"{name}:{number}: {line.strip()[:80]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("see /" + "root/.cache", True),
        ("cd '/" + "work/main'", True),
        ("https://host.example/" + "work/x", False),
        ("tests/" + "work/x", False),
        ("./" + "work/x", False),
        ("/workers/", False),
    ],
)
def test_machine_paths_are_told_from_others(line: str, is_found: bool) -> None:
    assert bool(MACHINE_PATH.search(line)) is is_found

"""What each image holds of ours: its component, and all that this imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.images import COMPONENTS, copied, copied_modules

pytestmark = pytest.mark.unit

SHARED = {"contract", "runtime", "reporting", "cli", "commands"}
PACKAGES = {
    "worker": SHARED | {"worker", "local", "checks"},
    "controller": SHARED | {"controller", "scaling", "traffic", "simulator", "client", "doctor"},
    # Of the stack only what finds the callers' engine.
    "loadtest": SHARED | {"callers", "loadtest", "speech", "traffic", "stack"},
}
OPERATING = {"calls", "status", "drain", "explain", "export", "keys", "redis_acl", "simulate", "plan", "doctor"}
COMMANDS = {"worker": {"worker", "check"}, "controller": {"controller"} | OPERATING, "loadtest": {"call", "loadtest"}}


def below_voicefleet(file: Path) -> tuple[str, ...]:
    return file.parts[file.parts.index("voicefleet") + 1 :]


def imported(file: Path) -> Iterator[str]:
    """Modules of ours that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("component", COMPONENTS)
def test_an_image_holds_its_component_and_what_is_shared(component: str) -> None:
    assert [path for path in copied(component) if not path.exists()] == []
    names = [below_voicefleet(file) for file in copied_modules(component)]
    assert {name[0] for name in names} == PACKAGES[component]
    assert {Path(name[1]).stem for name in names if name[0] == "commands"} == COMMANDS[component]
    assert {name[1] for name in names if name[0] == "stack"} <= {"__init__.py", "find.py", "caller_program.py"}


@pytest.mark.parametrize("component", COMPONENTS)
def test_an_image_lacks_nothing_that_it_imports(component: str) -> None:
    files = copied_modules(component)
    there = {".".join(("voicefleet", *below_voicefleet(file))).removesuffix(".py") for file in files}
    there |= {name.removesuffix(".__init__") for name in there}
    lacking = {
        f"{file.name}: {name}"
        for file in files
        if file.suffix == ".py"
        for name in imported(file)
        if re.match(r"voicefleet\.", name) and name not in there and not (file.parent / name).exists()
    }
    # `from voicefleet.chaos import launcher` names a package that must be there itself; namespaces have no file.
    assert {item for item in lacking if item.rpartition(".")[2] not in {"commands", "checks"}} == set()

"""Each view of a region has one writer: what the others do is found in their source text.

A view is a field of `Region` whose class is of `controller.regions`. Its class says `Only writer: NAME`, a module or a
package of the controller. Writing is to assign or delete the view or a part of it, to change one of its containers, or
to call a command of it: a public method that returns None and awaits nothing.
"""

from __future__ import annotations

import ast
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

import voicefleet.controller
from voicefleet.controller.regions.read_results import ReadResults
from voicefleet.controller.regions.region import Region

pytestmark = pytest.mark.unit

ROOT = Path(voicefleet.controller.__file__).parent
OWN = "regions.region"
"""Composes the views: it makes them, and passes on that something changed."""
PARTS = {"fleet": "wiring.fleets"}
"""Parts of a region that are put in later, and by whom."""
VIEWS: dict[str, type] = {
    name: kind
    for name, kind in typing.get_type_hints(Region).items()
    if kind.__module__.startswith("voicefleet.controller.regions.")
}
CHANGES = frozenset({"add", "append", "clear", "discard", "extend", "pop", "popitem", "remove", "setdefault", "update"})
_SAYS = re.compile(r"Only writer: (?:`([\w.]+)`|of each source, the one module)")


def writer(view: str) -> str:
    """Module or package that writes `view`; empty: each source has its own."""
    says = _SAYS.search(VIEWS[view].__doc__ or "")
    assert says is not None, f"{VIEWS[view].__name__} does not say who its only writer is"
    return says[1] or ""


def commands(view: str) -> frozenset[str]:
    """What awaits is none: a view that reads writes itself, and anybody may have it read anew."""
    methods = [(n, m) for n, m in inspect.getmembers(VIEWS[view], inspect.isfunction) if n[0] != "_"]
    return frozenset(
        n for n, m in methods if m.__annotations__.get("return") == "None" and not inspect.iscoroutinefunction(m)
    )


def chain(node: ast.AST) -> list[str]:
    """The names of `a.b[0].c`; empty for what is no such chain."""
    match node:
        case ast.Name():
            return [node.id]
        case ast.Attribute():
            return [*before, node.attr] if (before := chain(node.value)) else []
        case ast.Subscript():
            return chain(node.value)
        case _:
            return []


def aliases(tree: ast.AST) -> dict[str, list[str]]:
    """Local name -> the chain that was assigned to it."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            if len(names := chain(node.value)) > 1:
                found[node.targets[0].id] = names
        elif isinstance(node, ast.NamedExpr) and len(names := chain(node.value)) > 1:
            found[node.target.id] = names
    return found


def targets(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Assign() | ast.Delete():
            for target in node.targets:
                yield from target.elts if isinstance(target, ast.Tuple | ast.List) else (target,)
        case ast.AugAssign() | ast.AnnAssign():
            yield node.target


def of_another(owner: list[str]) -> bool:
    """Whether it may be a region: any but an object itself, which may have a field of the same name."""
    return owner not in ([], ["self"])


def writes(source: str) -> Iterator[tuple[str, str]]:
    """(view or part, what is written) of a module."""
    tree = ast.parse(source)
    known = aliases(tree)
    for node in ast.walk(tree):
        for target in targets(node):
            names = chain(target)
            for at, name in enumerate(names):
                if name in VIEWS.keys() | PARTS.keys() and of_another(names[:at]):
                    yield name, ".".join(names)
        if isinstance(node, ast.Call):
            names = chain(node.func)
            if names and names[0] in known:
                names = [*known[names[0]], *names[1:]]
            for at, name in enumerate(names[:-1]):
                if name not in VIEWS or not of_another(names[:at]):
                    continue
                calls_command = at == len(names) - 2 and names[-1] in commands(name)
                if calls_command or (at < len(names) - 2 and names[-1] in CHANGES):
                    yield name, ".".join(names)


def offences(module: str, source: str) -> list[str]:
    """What `module` writes and may not."""
    if module == OWN:
        return []
    found = []
    for name, what in writes(source):
        allowed = PARTS[name] if name in PARTS else writer(name)
        if allowed and not f"{module}.".startswith(f"{allowed}."):
            found.append(f"{module} writes {what}: only {allowed} may")
    return found


def modules() -> Iterator[tuple[str, str]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path.read_text()


def test_every_view_names_a_writer_that_exists() -> None:
    names = {name for name, _ in modules()} | {name.removesuffix(".__init__") for name, _ in modules()}
    assert len(VIEWS) >= 9
    assert [view for view in VIEWS if writer(view) not in names | {""}] == []
    assert [view for view in VIEWS if not writer(view)] == [v for v, kind in VIEWS.items() if kind is ReadResults]


def test_no_module_writes_what_another_one_does() -> None:
    assert [text for module, source in modules() for text in offences(module, source)] == []


def test_the_named_writers_write() -> None:
    """Else the rule would look at nothing."""
    found = {name for _, source in modules() for name, _ in writes(source)}
    assert found >= {"pool", "instances", "listed", "cut_off", "reservations", "fleet", "reads"}


@pytest.mark.parametrize(
    "line",
    [
        "region.pool = region.pool.with_pass(observation, decision, 1.0)",
        "self._region.pool.decision = None",
        "region.reservations._by_room['a'] = ticket",
        "region.listed, region.cut_off = listed, cut_off",
        "del region.pool.departed_at_s['w1']",
        "region.instances.last += (one,)",
        "region.pool.departed_at_s.pop('w1')",
        "self._region.reservations.reserve('room', 'key')",
        "tickets = region.reservations\ntickets.release('room')",
        "self._regions[name].redis.restarted(0.0)",
        "region.fleet = None",
        "region.reports.note_change()",
    ],
)
def test_a_second_writer_is_found(line: str) -> None:
    assert offences("calls.dispatch", line) != []


@pytest.mark.parametrize(
    "line",
    [
        "decision = region.pool.decision",
        "snapshot = await region.scans.scan()",
        "reports = await self._region.reports.read()",
        "region.reads.failed('queue', error)",
        "self.pool = pool",
        "departed.pop('w1')",
    ],
)
def test_a_reader_is_left_alone(line: str) -> None:
    assert offences("calls.dispatch", f"async def look():\n    {line}") == []


def test_each_source_of_a_failed_read_is_of_one_module() -> None:
    """But for the look at LiveKit before the loops run."""
    found: dict[str, set[str]] = {}
    for module, source in modules():
        for call in ast.walk(ast.parse(source)):
            if isinstance(call, ast.Call) and chain(call.func)[-2:] in (["reads", "failed"], ["reads", "succeeded"]):
                match call.args[0]:
                    case ast.Constant(value=str(name)):
                        found.setdefault(name, set()).add(module)
                    case _:
                        assert module == "pool.reader", "its sources are its own"
    assert found.keys() >= {"queue", "listing", "webhooks", "recovery"}
    assert {name: by for name, by in found.items() if len(by - {"wiring.regions"}) > 1} == {}

"""No log call in the source tells the text of an error that is not ours: the code is read, not run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from voicefleet.contract import errors

pytestmark = pytest.mark.unit

TREE = Path(__file__).resolve().parents[2]
PRODUCTION = ("worker/voicefleet", "controller/voicefleet/controller")
OURS = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
METHODS = {"debug", "info", "warning", "error", "exception", "critical"}


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for folder in PRODUCTION:
        for path in sorted((TREE / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def names(caught: ast.expr | None) -> set[str]:
    if caught is None:
        return {"BaseException"}
    parts = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return {ast.unparse(part).rpartition(".")[2] for part in parts}


def of_our_tree(trees: list[ast.Module]) -> set[str]:
    """Names of the classes that descend from ours, whatever module they stand in."""
    ours = set(OURS)
    grown = True
    while grown:
        found = {
            node.name
            for tree in trees
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef) and any(names(base) & ours for base in node.bases)
        }
        grown = not found <= ours
        ours |= found
    return ours


def texts_told(handler: ast.ExceptHandler) -> Iterator[ast.Call]:
    """Log calls in `handler` that put the error's text, and not `error_summary(error)`, into a field."""
    for node in ast.walk(handler):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr not in METHODS or ast.unparse(node.func.value) != "log":
            continue
        for value in [*node.args, *(k.value for k in node.keywords if k.arg != "exc_info")]:
            for part in ast.walk(value):
                as_text = isinstance(part, ast.Call) and ast.unparse(part.func) in ("str", "repr")
                if (as_text or isinstance(part, ast.FormattedValue)) and _names_error(part, str(handler.name)):
                    yield node


def _names_error(node: ast.AST, error: str) -> bool:
    named = any(isinstance(part, ast.Name) and part.id == error for part in ast.walk(node))
    return named and "__name__" not in ast.unparse(node)


def test_only_texts_of_our_own_errors_are_logged() -> None:
    read = list(modules())
    ours = of_our_tree([tree for _, tree in read])
    wrong = [
        f"{path.relative_to(TREE)}:{call.lineno}: use error_summary({handler.name})"
        for path, tree in read
        for handler in ast.walk(tree)
        if isinstance(handler, ast.ExceptHandler) and handler.name and not names(handler.type) <= ours
        for call in texts_told(handler)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_text_that_is_told_is_found() -> None:
    source = (
        'try: f()\nexcept ValueError as error:\n    log.info("x", error=str(error))\n    log.info("y", e=f"{error}!")'
    )
    handler = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ExceptHandler))
    assert len(list(texts_told(handler))) == 2


def test_nothing_prints_errors_past_the_logs() -> None:
    """`traceback.print_exc` and its like write texts, and rich ones locals, to stderr."""
    wrong = [
        f"{path.relative_to(TREE)}:{node.lineno}"
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in ("print_exc", "print_exception", "format_exc", "print_stack")
    ]
    assert not wrong

"""Every test module says once, for all of its tests, what it needs: `pytestmark = pytest.mark.unit` (or integration,
cluster, browser). A module that says nothing, or two things, stops the run: a test that nobody selects is no test.
"""

from __future__ import annotations

from pathlib import Path

import pytest

CATEGORIES = frozenset({"unit", "integration", "cluster", "browser"})


def categories_of(item: pytest.Item) -> set[str]:
    """The categories that a test carries, from its module, its class or itself."""
    return {mark.name for mark in item.iter_markers() if mark.name in CATEGORIES}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse modules whose tests do not all carry the same, single category."""
    by_module: dict[Path, list[set[str]]] = {}
    for item in items:
        by_module.setdefault(item.path, []).append(categories_of(item))
    wrong = []
    for path, found in by_module.items():
        if any(len(categories) != 1 for categories in found) or len(set.union(*found)) != 1:
            named = ", ".join(sorted(set.union(*found))) or "none"
            wrong.append(f"  {path} has: {named}")
    if wrong:
        wanted = " | ".join(sorted(CATEGORIES))
        raise pytest.UsageError(
            f"each test module needs exactly one `pytestmark = pytest.mark.<{wanted}>`:\n" + "\n".join(wrong)
        )

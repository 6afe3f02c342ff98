"""Which language stands in for one that is not there. Pure.

Languages are BCP 47 tags (`de-AT`). A tag is looked for as it is, then with less and less at its end: `de-AT`, `de`.
Upper and lower case, and `_` in place of `-`, make no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

ENGLISH = "en"
"""What everything is there in."""

LONGEST_TAG = 80

T = TypeVar("T")


def normal(tag: str) -> str:
    """The tag as it is compared: `de_AT` and `DE-at` are `de-at`."""
    return tag.strip().replace("_", "-").lower()


def widening(tag: str) -> Iterator[str]:
    """The tag, and what it is a kind of: `de-at`, `de`. Nothing for an empty one, or a text too long to be one."""
    rest = normal(tag) if len(tag) <= LONGEST_TAG else ""
    while rest:
        yield rest
        rest = rest.rpartition("-")[0]


def closest(there: Mapping[str, T], *tags: str) -> tuple[str, T] | None:
    """The first of `tags` for which `there` has an entry, itself or what it is a kind of; None when none has.

    Args:
        there: by normal tags.
        tags: the most wanted first.
    """
    for tag in tags:
        for candidate in widening(tag):
            if candidate in there:
                return candidate, there[candidate]
    return None

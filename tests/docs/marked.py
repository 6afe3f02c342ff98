"""Parts of Markdown files that are generated, between two marks."""

from __future__ import annotations


def with_marked(text: str, begin: str, end: str, content: str) -> str:
    """`text` with `content` between the marks.

    Raises:
        ValueError: a mark is missing.
    """
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the file needs the lines {begin} and {end}")
    return f"{before}{begin}\n{content}\n{end}{after}"

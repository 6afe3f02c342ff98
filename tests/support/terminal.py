"""What a terminal of 80 columns shows."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType


def rendered(*what: RenderableType, width: int = 80) -> str:
    """The text; fails when something was cut or broken inside a word to fit."""
    console = terminal(width)
    for one in what:
        console.print(one)
    return text_of(console)


def terminal(width: int = 80) -> Console:
    """A console whose text `text_of` gives."""
    return Console(file=io.StringIO(), width=width)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "…" not in text, text
    return text

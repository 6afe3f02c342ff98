"""Tables and sentences for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table


def shown(value: float | None, unit: str = "", digits: int = 2) -> str:
    """A number for people; a dash for an unknown one."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}{unit}" if isinstance(value, float) else f"{value}{unit}"


def figures_table(title: str, first: str, headers: Sequence[str]) -> Table:
    """A table whose first column names the row and is never cut; the others hold figures.

    A header stands in as many lines as it has words: keep words short, so that all columns fit in 80.
    """
    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
    made.add_column(first, no_wrap=True, overflow="fold")
    for header in headers:
        made.add_column(header.replace(" ", "\n"), justify="right", overflow="fold")
    return made


def print_problems(console: Console, problems: Iterable[str]) -> None:
    """Why a result is bad, a line each. What comes from outside is not read as markup."""
    for sentence in problems:
        console.print(sentence, style="bold red", markup=False, highlight=False, soft_wrap=True)

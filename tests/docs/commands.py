"""The commands that the READMEs tell people to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
READMES = (
    "README.md",
    *(f"{part}/README.md" for part in ("worker", "controller", "loadtest", "dashboards", "helm/voicefleet")),
)
_COMMAND = re.compile(r"^    ((?:[A-Z_]+=\S+ )*(?:voicefleet|make) .*)$", re.MULTILINE)
_INLINE = re.compile(r"`((?:voicefleet|make) [^`]*)`")


@dataclass(frozen=True)
class Command:
    """One command line, without its comment and what it is piped into."""

    file: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}: {shlex.join(self.words)}"


def commands() -> Iterator[Command]:
    """Every command in an indented block or a code span, in the order of the files."""
    seen = set()
    for file in READMES:
        text = re.sub(r"\\\n\s*", "", (TREE / file).read_text())
        for line in [*_COMMAND.findall(text), *(" ".join(span.split()) for span in _INLINE.findall(text))]:
            words = tuple(_words(line))
            if words not in seen:
                seen.add(words)
                yield Command(file, words)


def _words(line: str) -> Iterator[str]:
    for word in shlex.split(line, comments=True):
        if word in ("|", ">", ">>", "&&", ";"):
            return
        yield word

"""The walkthroughs of the chart as shell scripts: the document is the script, and there is no other copy of it.

    PYTHONPATH=tests .venv/bin/python -m docs.walkthroughs helm/voicefleet/walkthroughs/eks.md

prints what `tests/cluster/test_walkthroughs.py` runs. A fenced block is one of these, by what follows its three ticks:

- `sh settings`, the first one: `NAME=value` lines that every reader replaces with their own, as the test does.
- `sh`: runs as it stands.
- `sh not-run`: cannot run where the test runs; the line above it says why, and begins with "Not run by the test:".
- anything else (`text`, `yaml`): shown, never run.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
FOLDER = TREE / "helm" / "voicefleet" / "walkthroughs"
SETTINGS, RUN, NOT_RUN = "sh settings", "sh", "sh not-run"
EXCUSE = "Not run by the test:"
_FENCE = re.compile(r"^```(.*)$")
_SETTING = re.compile(r"^([A-Z][A-Z0-9_]*)=")


@dataclass(frozen=True)
class Block:
    """A fenced block: what follows its ticks, its first line's number in the file, its text, and the line before it."""

    kind: str
    line: int
    text: str
    above: str


@dataclass(frozen=True)
class Walkthrough:
    """One document."""

    path: Path
    blocks: tuple[Block, ...]

    @property
    def settings(self) -> tuple[str, ...]:
        """The names that a reader sets, in order."""
        [block] = [block for block in self.blocks if block.kind == SETTINGS]
        return tuple(match[1] for line in block.text.splitlines() if (match := _SETTING.match(line)))

    def script(self, given: Mapping[str, str] | None = None) -> str:
        """The whole as a bash script, which ends at the first command that fails.

        Args:
            given: values instead of those of the settings block: one for each of its names, and no other.

        Raises:
            ValueError: they are not for these names.
        """
        if given is not None and set(given) != set(self.settings):
            raise ValueError(f"{self.path.name} sets {sorted(self.settings)}, and not {sorted(given)}")
        parts = ["set -euo pipefail", f"trap 'echo \"failed: {self.path.name}, in the block of line $at\" >&2' ERR"]
        for block in self.blocks:
            if block.kind == SETTINGS and given is not None:
                parts.append("\n".join(f"{name}={shlex.quote(value)}" for name, value in given.items()))
            elif block.kind in (SETTINGS, RUN):
                parts.append(f'at={block.line}; echo "=== {self.path.name}:$at ($SECONDS s)"\n{block.text}')
        return "\n".join(parts) + "\n"


def read(path: Path) -> Walkthrough:
    """Take a document apart.

    Raises:
        ValueError: a block is not closed.
    """
    blocks: list[Block] = []
    opened: tuple[str, int, str] | None = None
    above, inside = "", list[str]()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, inside = (fence[1].strip(), number, above), []
        elif opened is not None and fence:
            blocks.append(Block(opened[0], opened[1], "\n".join(inside), opened[2]))
            opened, above = None, ""
        elif opened is not None:
            inside.append(line)
        elif line.strip():
            above = line.strip()
    if opened is not None:
        raise ValueError(f"{path.name}: the block of line {opened[1]} is not closed")
    return Walkthrough(path, tuple(blocks))


def every() -> tuple[Path, ...]:
    """All documents."""
    return tuple(sorted(FOLDER.glob("*.md")))


if __name__ == "__main__":
    print(read(Path(sys.argv[1])).script(), end="")

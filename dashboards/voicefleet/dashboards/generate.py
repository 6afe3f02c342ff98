"""Everything that is generated: path below `dashboards/` -> text. What is committed must be what this gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from voicefleet.dashboards.boards import BOARDS, as_json
from voicefleet.dashboards.rules import inhibition_file, rule_file
from voicefleet.dashboards.runbooks import markdown

RULES = "prometheus/rules.yaml"
_HEAD = "# Made by `voicefleet dashboards generate`; do not change it here.\n"


def generated() -> dict[str, str]:
    """Every generated file."""
    files = {f"grafana/{board.uid}.json": as_json(board) for board in BOARDS}
    files[RULES] = _yaml(rule_file())
    files["prometheus/alertmanager.yaml"] = _yaml(inhibition_file())
    files["runbooks.md"] = markdown()
    return files


def chart_files() -> dict[str, str]:
    """What the chart carries below its `files/`: it cannot read what is outside of it."""
    made = generated()
    boards = {f"dashboards/{Path(name).name}": text for name, text in made.items() if name.startswith("grafana/")}
    return {**boards, "rules.yaml": made[RULES]}


def write(folder: Path, files: Mapping[str, str] | None = None) -> list[Path]:
    """Write `files`, or everything that is generated, below `folder`; returns the files whose text is new."""
    changed = []
    for name, text in (generated() if files is None else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            changed.append(path)
    return changed


def _yaml(content: Mapping[str, object]) -> str:
    text: str = yaml.safe_dump(dict(content), sort_keys=False, width=110, allow_unicode=True)
    return _HEAD + text

"""`voicefleet tasks`: what is in a file, and what is wrong with it, before any call."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from voicefleet.contract.errors import ConfigError
from voicefleet.tasks.command import show_tasks

pytestmark = pytest.mark.unit

TASKS = """
tools: {book: [name]}
tasks:
  - id: one
    goal: %s
    caller: {turns: [{say: [A table, {pause_s: 0.4}, please.]}], snr_db: 20}
    checks: {calls: [{%s: {name: baker}}]}
"""


def test_a_file_is_listed_by_goal(tmp_path: Path) -> None:
    (tmp_path / "tasks.yaml").write_text(TASKS % ("book", "book"))
    out = io.StringIO()
    assert show_tasks(str(tmp_path), json_path=tmp_path / "out.json", console=Console(file=out, width=100)) == 0
    assert "1 tasks, 1 tuning, 0 heldout; tools checked: book" in out.getvalue()
    row = {"tuning": 1, "heldout": 0, "turns": 1, "pauses": 1, "in_noise": 1}
    assert json.loads((tmp_path / "out.json").read_text()) == {"name": "tasks", "tasks": 1, "goals": {"book": row}}


@pytest.mark.parametrize(
    ("goal", "tool", "told"),
    [("bok", "book", r"tasks\.0\.goal.*bok.*book"), ("book", "bok", r"tasks\.0\.checks\.calls\.0\.bok.*book")],
)
def test_what_is_wrong_is_said_with_a_way_out(tmp_path: Path, goal: str, tool: str, told: str) -> None:
    (tmp_path / "tasks.yaml").write_text(TASKS % (goal, tool))
    with pytest.raises(ConfigError, match=told):
        show_tasks(str(tmp_path), json_path=None)


def test_the_set_that_ships_has_every_goal_in_both_parts(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    show_tasks("desk", json_path=out, console=Console(file=io.StringIO()))
    found = json.loads(out.read_text())
    assert 90 <= found["tasks"] <= 120
    assert len(found["goals"]) == 16
    assert all(row["tuning"] and row["heldout"] for row in found["goals"].values())

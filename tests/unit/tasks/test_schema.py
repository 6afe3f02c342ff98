"""Task files: what is wrong in one is told with its place, what was meant and a way out."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest
import yaml

from voicefleet.contract.errors import ConfigError, ConfigErrors, MissingPartError
from voicefleet.tasks.agent import DeskAgent
from voicefleet.tasks.desk import Desk
from voicefleet.tasks.load import parse_tasks, read_tasks
from voicefleet.tasks.schema import Goal

pytestmark = pytest.mark.unit

GOOD = """
tools: {book: [day, people]}
questions: {day: [which day]}
tasks:
  - id: one
    goal: book
    caller:
      turns:
        - say: [A table, {pause_s: 0.5}, please.]
        - {sound: cough, over_s: 0.5}
      answers: {day: On Monday.}
    checks:
      calls: [{book: {day: monday}}]
"""


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("goal: book", "goal: bok", "Did you mean book?"),
        ("checks:", "cheks:", "Did you mean checks?"),
        ("calls: [", "cals: [", "Did you mean calls?"),
        ("{book: {day: monday}}", "{bok: {day: monday}}", "no such tool.*Did you mean book?"),
        ("{book: {day: monday}}", "{book: {dai: monday}}", "no such argument.*Did you mean day?"),
        ("answers: {day:", "answers: {daj:", "no such question.*Did you mean day?"),
        ("over_s: 0.5", "overs: 0.5", "Did you mean over_s?"),
        ("sound: cough", "sound: coug", "Did you mean cough?"),
        ("sound: cough, over_s: 0.5", "sound: cough", "Say how long after the agent's first word"),
        ("sound: cough,", "sound: cough, aside: Hello,", "Give exactly one of"),
        ("say: [A table, {pause_s: 0.5}, please.]", "say: [{pause_s: 0.5}]", "Give words beside the pauses"),
        ("{pause_s: 0.5}", "{pause_s: 50}", "less than or equal to 5"),
        ("calls: [{book: {day: monday}}]", "{}", "Give calls, not_called, state, said or not_said"),
    ],
)
def test_a_mistake_is_told_with_what_was_meant(before: str, after: str, told: str) -> None:
    assert before in GOOD
    parse_tasks(GOOD, "tasks.yaml")
    with pytest.raises(ConfigError, match=f"(?s){told}"):
        parse_tasks(GOOD.replace(before, after), "tasks.yaml")


def test_all_mistakes_are_told_at_once_and_no_id_is_there_twice() -> None:
    two = yaml.safe_load(GOOD)
    two["tasks"] = [two["tasks"][0], {**two["tasks"][0], "checks": {"calls": [{"bok": {}}]}}]
    with pytest.raises(ConfigErrors) as caught:
        parse_tasks(yaml.safe_dump(two), "tasks.yaml")
    fields = [error.field for error in caught.value.errors]
    assert fields == ["tasks.1.id", "tasks.1.checks.calls.0.bok"]


def test_the_set_that_ships_has_every_goal_in_both_parts_and_names_the_agents_tools() -> None:
    found = read_tasks()
    assert 95 <= len(found.tasks) <= 120
    goals = {goal for goal in Goal if goal is not Goal.OTHER}
    assert {task.goal for task in found.part("tuning")} == goals == {task.goal for task in found.part("heldout")}
    tools = {tool.info.name for tool in DeskAgent(Desk()).tools}  # type: ignore[union-attr]
    assert set(found.file.tools) == tools


def test_a_task_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="Did you mean book-01"):
        read_tasks().chosen(("bok-01",))


def test_a_folder_of_ones_own_with_recordings(tmp_path: Path) -> None:
    (tmp_path / "tasks.yaml").write_text(
        GOOD.replace("say: [A table, {pause_s: 0.5}, please.]", "{file: a.wav, text: A table please.}")
    )
    with pytest.raises(MissingPartError, match="no such recording"):
        read_tasks(tmp_path)
    with wave.open(str(tmp_path / "a.wav"), "wb") as wav:
        wav.setparams((1, 2, 16_000, 0, "NONE", "not compressed"))
    found = read_tasks(tmp_path)
    assert (found.name, found.folder) == ("tasks", tmp_path)
    with pytest.raises(MissingPartError, match="No such file"):
        read_tasks(tmp_path / "nowhere.yaml")

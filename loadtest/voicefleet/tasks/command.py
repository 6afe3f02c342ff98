"""`voicefleet tasks`: a task file in; what is in it out, or what is wrong with it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console

from voicefleet.reporting.result import write_json
from voicefleet.reporting.table import figures_table
from voicefleet.tasks.load import TaskSet, read_tasks
from voicefleet.tasks.schema import CallerLine, Pause, Task

PARTS = ("tuning", "heldout")


def show_tasks(path: str, *, json_path: Path | None, console: Console | None = None) -> int:
    """Read the file as every command does that plays it, and say what is in it.

    Returns:
        0.

    Raises:
        ConfigError: not a task file; it names the field and what was meant.
        MissingPartError: no such file, or no recording that a task names.
    """
    console = console or Console()
    found = read_tasks(path, field="TASKS")
    write_json(json_path, summary(found))
    table = figures_table(f"Tasks of {found.name}", "goal", ("tuning", "held out", "turns", "pauses", "in noise"))
    for goal, row in summary(found)["goals"].items():
        table.add_row(goal, *(str(value) for value in row.values()))
    console.print(table)
    tools = f"tools checked: {', '.join(found.file.tools)}" if found.file.tools else "any tool's name is taken"
    parts = ", ".join(f"{len(found.part(part))} {part}" for part in PARTS)
    console.print(f"{len(found.tasks)} tasks, {parts}; {tools}", markup=False, highlight=False, soft_wrap=True)
    return 0


def summary(found: TaskSet) -> dict[str, Any]:
    """``{"name", "tasks", "goals": {goal: {"tuning", "heldout", "turns", "pauses", "in_noise"}}}``, numbers of each."""
    goals: dict[str, Counter[str]] = {}
    for task in found.tasks:
        # Every goal has all columns, in this order.
        row = goals.setdefault(task.goal, Counter(dict.fromkeys((*PARTS, "turns", "pauses", "in_noise"), 0)))
        row[task.part] += 1
        row["turns"] += len(task.caller.turns)
        row["pauses"] += sum(_pauses(line) for line in _lines(task))
        row["in_noise"] += task.caller.snr_db is not None
    return {"name": found.name, "tasks": len(found.tasks), "goals": {goal: dict(row) for goal, row in goals.items()}}


def _lines(task: Task) -> list[CallerLine | str]:
    return [*task.caller.turns, *task.caller.answers.values()]


def _pauses(line: CallerLine | str) -> int:
    parts = line.say if isinstance(line, CallerLine) and isinstance(line.say, tuple) else ()
    return sum(isinstance(part, Pause) for part in parts)

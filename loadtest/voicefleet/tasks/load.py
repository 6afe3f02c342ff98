"""Reads task files: the set that ships, or a team's own file or folder."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from voicefleet.contract.errors import ConfigError, MissingPartError, Mistakes
from voicefleet.contract.parsing.documents import parse_yaml
from voicefleet.contract.parsing.validation import nearest, validated
from voicefleet.tasks.schema import Task, TaskFile

BUILT_IN = "desk"
"""Name of the set that ships: a restaurant's phone desk."""


@dataclass(frozen=True, slots=True)
class TaskSet:
    """The tasks of a file.

    Attributes:
        name: of the set: its file without the ending.
        folder: where recordings that tasks name are; None for the set that ships.
    """

    name: str
    file: TaskFile
    folder: Path | None = None

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self.file.tasks

    def part(self, part: str) -> tuple[Task, ...]:
        """The tasks of one part, ``tuning`` or ``heldout``."""
        return tuple(task for task in self.file.tasks if task.part == part)

    def chosen(self, ids: tuple[str, ...], *, field: str = "--tasks") -> tuple[Task, ...]:
        """The tasks with these ids, in the order of `ids`.

        Raises:
            ConfigError: there is no such task.
        """
        by_id = {task.id: task for task in self.file.tasks}
        for wanted in ids:
            if wanted not in by_id:
                raise ConfigError("no such task", field=field, value=wanted, hint=nearest(wanted, by_id))
        return tuple(by_id[wanted] for wanted in ids)


def read_tasks(path: str | Path = BUILT_IN, *, field: str = "--tasks") -> TaskSet:
    """The set that ships, or the file at `path`; of a folder its ``tasks.yaml``.

    Raises:
        ConfigError: not a task file; it names what is wrong. `ConfigErrors` when several things are.
        MissingPartError: no such file, or a recording that a task names is not there.
    """
    if str(path) == BUILT_IN:
        text = (resources.files("voicefleet.tasks") / "data" / "desk.yaml").read_text(encoding="utf-8")
        return TaskSet(BUILT_IN, parse_tasks(text, "desk.yaml"))
    where = Path(path)
    if where.is_dir():
        where = where / "tasks.yaml"
    try:
        text = where.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise MissingPartError(
            f"cannot be read ({why})",
            field=field,
            value=str(path),
            hint=f"Give the path of a task file, of a folder with a tasks.yaml, or `{BUILT_IN}`.",
        ) from error
    found = TaskSet(where.stem, parse_tasks(text, str(where)), where.parent)
    _require_recordings(found)
    return found


def parse_tasks(text: str, where: str) -> TaskFile:
    """The file's `text`; `where` is its name, for messages. Raises ConfigError: not a task file."""
    return validated(TaskFile, parse_yaml(text, field=where), source=where)


def _require_recordings(found: TaskSet) -> None:
    assert found.folder is not None
    mistakes = Mistakes("the task file")
    for number, task in enumerate(found.tasks):
        lines = [*task.caller.turns, *(a for a in task.caller.answers.values() if not isinstance(a, str))]
        for line in lines:
            if line.file is not None and not (found.folder / line.file).is_file():
                with mistakes.noted():
                    raise MissingPartError(
                        "no such recording",
                        field=f"tasks.{number}.caller",
                        value=line.file,
                        hint="Put the WAV file beside the task file, or correct its path.",
                    )
    mistakes.refuse()

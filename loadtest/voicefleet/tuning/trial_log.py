"""The log of a sweep, a JSON value a line: what was played, so that a sweep that was killed goes on where it was.

The first line says what is measured (space, tasks, seed, rule...): a log of something else is not continued. Each later
line is a round as it was planned, a play as it ended, or the endpointing curve. A line that was cut off by a kill, the
last one, is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voicefleet.contract.errors import ConfigError
from voicefleet.tasks.record import TaskRecord

VERSION = 2

Play = tuple[str, int]
"""A task, and which of several runs of it (`TaskRecord.trial`)."""


@dataclass(frozen=True, slots=True)
class Round:
    """A round of the search: these settings play these tasks."""

    settings: tuple[str, ...]
    plays: tuple[Play, ...]


@dataclass(slots=True)
class TrialLog:
    """What is known so far; `add_*` writes a line at once."""

    path: Path
    records: list[TaskRecord] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)
    """Rows of the endpointing curve; empty until it was measured."""
    spent_s: float = 0.0
    """Time that earlier runs of the sweep took."""

    def of(self, config: str, part: str) -> list[TaskRecord]:
        """The plays of the setting `config` in a part of the tasks."""
        return [r for r in self.records if r.config == config and r.part == part]

    def common(self, configs: Sequence[str], part: str) -> dict[str, list[TaskRecord]]:
        """The plays of each of `configs` in a part of the tasks that all of them have played, so that they compare."""
        of = {config: self.of(config, part) for config in configs}
        shared = set.intersection(*({(r.task, r.trial) for r in records} for records in of.values())) if of else set()
        return {name: [r for r in records if (r.task, r.trial) in shared] for name, records in of.items()}

    def played(self, config: str, play: Play) -> bool:
        """Whether `config` has played it."""
        return any((r.config, r.task, r.trial) == (config, *play) for r in self.records)

    def add_round(self, one: Round) -> None:
        """Note a round before it is played."""
        self.rounds.append(one)
        self._write({"round": {"settings": one.settings, "plays": one.plays}})

    def add_curve(self, rows: Sequence[Mapping[str, Any]], spent_s: float) -> None:
        """Note the endpointing curve; `spent_s`: of the whole sweep so far."""
        self.curve = [dict(row) for row in rows]
        self.spent_s = spent_s
        self._write({"curve": self.curve, "spent_s": round(spent_s, 1)})

    def add_play(self, record: TaskRecord, spent_s: float) -> None:
        """Note a play; `spent_s`: of the whole sweep so far."""
        self.records.append(record)
        self.spent_s = spent_s
        self._write({"play": record.to_json(), "spent_s": round(spent_s, 1)})

    def _write(self, line: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def open_log(path: Path, header: Mapping[str, Any], *, fresh: bool = False) -> TrialLog:
    """The log at `path`: begun, or continued where it is of the same sweep.

    Args:
        header: what is measured; JSON values.
        fresh: begin anew, whatever is there.

    Raises:
        ConfigError: a log of another sweep, or no log, is there.
    """
    log = TrialLog(path)
    first = {"sweep": {"version": VERSION, **header}}
    if fresh or not path.exists() or path.stat().st_size == 0:
        path.write_text(json.dumps(first) + "\n", encoding="utf-8")
        return log
    lines = list(_lines(path))
    before = lines[0].get("sweep") if lines else None
    if not isinstance(before, dict):
        raise _wrong(path, "is no log of a sweep")
    if different := [n for n in {**before, **first["sweep"]} if before.get(n) != first["sweep"].get(n)]:
        raise _wrong(path, f"is the log of another sweep: another {', '.join(sorted(different))}")
    for line in lines[1:]:
        if "round" in line:
            plays = tuple((str(task), int(trial)) for task, trial in line["round"]["plays"])
            log.rounds.append(Round(tuple(line["round"]["settings"]), plays))
        elif "play" in line:
            log.records.append(TaskRecord.from_json(line["play"]))
            log.spent_s = float(line["spent_s"])
        elif "curve" in line:
            log.curve = [dict(row) for row in line["curve"]]
            log.spent_s = float(line["spent_s"])
    _end_with_newline(path)
    return log


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    texts: Sequence[str] = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, text in enumerate(texts):
        try:
            line = json.loads(text)
        except ValueError as error:
            if number == len(texts) - 1 and number > 0:
                return
            raise _wrong(path, f"is no log of a sweep: line {number + 1} is not JSON") from error
        if isinstance(line, dict):
            yield line


def _end_with_newline(path: Path) -> None:
    """Take off a line that was cut off: what is written next must stand in a line of its own."""
    data = path.read_bytes()
    if not data.endswith(b"\n"):
        path.write_bytes(data[: data.rfind(b"\n") + 1])


def _wrong(path: Path, what: str) -> ConfigError:
    return ConfigError(what, field="--out", value=str(path), hint="Give another folder, or begin anew with --fresh.")

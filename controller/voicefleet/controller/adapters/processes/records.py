"""Files by which a new controller finds the worker processes of the one before it."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path

from voicefleet.contract.errors import ConfigError
from voicefleet.runtime.supervisor.guard import start_time

RECORD_VARIABLE = "VOICEFLEET_WORKER_RECORD"


@dataclass(frozen=True, slots=True)
class Record:
    """One worker process. `pid` is 0 between the intent to start it and its start."""

    id: str
    region: str
    pid: int = 0
    ticks: str = ""
    """The process's start time: with the pid it names one process for ever."""
    stopping: bool = False

    @property
    def alive(self) -> bool:
        return self.pid > 0 and start_time(self.pid) == self.ticks


class Records:
    """The records of one region in `directory`; one controller at a time holds them.

    Raises:
        ConfigError: another controller holds them, or the directory cannot be used.
    """

    def __init__(self, directory: Path, region: str, *, field: str) -> None:
        self._directory = directory
        self._region = region
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(directory / f".{region}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(
                f"cannot be used ({error.strerror})", field=field, value=str(directory), hint="Name a directory."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise ConfigError(
                f"another controller runs the workers of {region} from here",
                field=field,
                value=str(directory),
                hint="Stop it, or give this one a directory of its own.",
            ) from error

    def close(self) -> None:
        os.close(self._lock)

    def next_id(self) -> str:
        """A worker id that was never used here: an old one's report or order may still stand in Redis."""
        path = self._directory / f".{self._region}.next"
        try:
            number = int(path.read_text())
        except (OSError, ValueError):
            # The counter is lost: go on above every file there is.
            number = 1 + max((int(r.id.rpartition("-")[2]) for r in self.all()), default=0)
        _replace(path, str(number + 1))
        return f"{self._region}-{number}"

    def write(self, record: Record) -> None:
        _replace(self._path(record.id), json.dumps(dataclasses.asdict(record)))

    def remove(self, worker: str) -> None:
        self._path(worker).unlink(missing_ok=True)

    def all(self) -> list[Record]:
        """Every record of the region; an unreadable file is left out."""
        found: list[Record] = []
        for path in sorted(self._directory.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
                record = Record(**json.loads(path.read_text()))
                if record.region == self._region:
                    found.append(record)
        return found

    def mark(self, worker: str) -> dict[str, str]:
        """Environment that tells this worker from every other on the machine, other fleets' of the same id too."""
        return {RECORD_VARIABLE: str(self._path(worker).resolve())}

    def find(self, record: Record) -> Record | None:
        """The process of a record whose writer died between the start and noting the pid (Linux only)."""
        mark = "=".join(*self.mark(record.id).items()).encode()
        for entry in Path("/proc").glob("[0-9]*"):
            pid = int(entry.name)
            try:
                # Its job processes inherit the mark; it alone leads the session.
                ours = os.getsid(pid) == pid and mark in (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if ours and (ticks := start_time(pid)):
                return dataclasses.replace(record, pid=pid, ticks=ticks)
        return None

    def _path(self, worker: str) -> Path:
        return self._directory / f"{worker}.json"


def _replace(path: Path, text: str) -> None:
    """Whole or not at all: a controller killed midway leaves the old file."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text)
    temporary.replace(path)

"""The output of worker processes: a file for each, of which few are kept, and none without a bound.

A worker in a crash loop is a new worker at every start, so its files would fill the disk in the end; one that lives for
months writes one file for as long.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from voicefleet.runtime.logs.setup import get_logger

KEPT = 32
"""Files of workers that ended, the newest."""
LONGEST_BYTES = 64 * 1024 * 1024
"""A live worker's file that grew beyond this is cut to its end."""
END_BYTES = 4 * 1024 * 1024
"""So much of the end stays, and of the file of a worker that ended."""

log = get_logger(__name__)


class WorkerLogs:
    """The files `<region>-<number>.log` in `directory`. Others there are left alone."""

    def __init__(self, directory: Path, region: str) -> None:
        self._directory = directory
        self._name = re.compile(rf"({re.escape(region)}-(\d+))\.log")

    def path(self, worker: str) -> Path:
        """Where that worker's output goes."""
        return self._directory / f"{worker}.log"

    def cut(self, workers: Collection[str], longest_bytes: int = LONGEST_BYTES) -> None:
        """Keep the end of the files of these workers that are longer. Lines of the very moment may be lost."""
        for worker in workers:
            path = self.path(worker)
            try:
                if path.stat().st_size > longest_bytes:
                    _keep_end(path)
            except FileNotFoundError:
                pass  # somebody took it away
            except OSError as error:
                log.warning("a worker's log cannot be cut", worker=worker, error=error.strerror)

    def remove_old(self, alive: Collection[str]) -> None:
        """Remove the files of workers that are not `alive`, but for the newest."""
        try:
            found = [self._name.fullmatch(path.name) for path in self._directory.iterdir()]
            ended = sorted((int(name[2]), name[1]) for name in found if name and name[1] not in alive)
            for _, worker in ended[:-KEPT]:
                self.path(worker).unlink(missing_ok=True)
        except OSError as error:
            log.warning("old logs of workers cannot be removed", directory=str(self._directory), error=error.strerror)


def _keep_end(path: Path) -> None:
    # The worker goes on writing to the same file, which it opened for appending: whatever its length, it writes there.
    with path.open("rb") as file:
        file.seek(-END_BYTES, os.SEEK_END)
        end = file.read().partition(b"\n")[2]
    os.truncate(path, 0)
    with path.open("ab") as file:
        file.write(end)

"""Executes a worker with its own group id or clock: `python -I -S launcher.py KIND ... -- PROGRAM ARGUMENTS...`

    groups                  a group id per worker, by which the packet filter knows its packets
    clock LIBRARY FOLDER    a clock per worker: libfaketime's LIBRARY, told by the file FOLDER/WORKER-ID

Run by path with only the standard library, so it costs about 20 ms of a worker's start.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

WORKER_ID_VARIABLE = "VOICEFLEET_WORKER_ID"
FIRST_GROUP = 61_000
GROUPS = 4_000


def group_id(worker: str) -> int:
    """The group id of a worker, from the number at the end of its name."""
    number = worker.rpartition("-")[2]
    return FIRST_GROUP + (int(number) % GROUPS if number.isdigit() else 0)


def clock_environment(library: str, file: Path) -> dict[str, str]:
    """Environment that gives a process the clock in `file`, an offset like ``+300``; durations stay correct."""
    return {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_CACHE_DURATION": "1",
        # Else timed waits of libwebrtc's threads end at once, and those have real-time priority.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }


def main(arguments: list[str]) -> None:
    split = arguments.index("--")
    (kind, *details), command = arguments[:split], arguments[split + 1 :]
    environment = dict(os.environ)
    worker = environment.get(WORKER_ID_VARIABLE, "")
    if kind == "groups":
        os.setgroups([])
        os.setgid(group_id(worker))
    elif kind == "clock":
        file = Path(details[1]) / worker
        file.write_text("+0\n")
        environment.update(clock_environment(details[0], file))
    else:
        sys.exit(f"launcher: no such kind: {kind}")
    os.execvpe(command[0], command, environment)


if __name__ == "__main__":
    main(sys.argv[1:])

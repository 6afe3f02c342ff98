"""One run at a time: two set-ups at once must not make the same thing twice, or undo what the other needs."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def alone(lock: Path, name: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock file for the block; a run that has to wait reports what the other one installs."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{name}: another run is installing it; waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield

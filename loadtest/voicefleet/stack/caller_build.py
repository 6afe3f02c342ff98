"""Build `voicefleet-caller` with Go into the cache, from modules whose checksums are committed beside its sources."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from voicefleet.contract.errors import MissingPartError
from voicefleet.stack.alone import alone
from voicefleet.stack.caller_program import CALLER_WAYS, NAME, SOURCES, cached_caller, find_caller
from voicefleet.stack.find import Found, find_go
from voicefleet.stack.livekit_build import run_go


def install_caller(say: Callable[[str], None]) -> Found:
    """Find voicefleet-caller, or build it. Two runs at once wait for each other.

    Raises:
        MissingPartError: there is none, and no Go that is new enough.
        UsageError: it did not build; a module with another checksum than go.sum's is one reason.
    """
    with contextlib.suppress(MissingPartError):
        return find_caller()
    target = cached_caller()
    go = find_go()
    if target is None or go is None:
        raise MissingPartError(f"{NAME} is not there, and no Go 1.26 to build it with", field=NAME, hint=CALLER_WAYS)
    with alone(target.parent.parent / "lock", NAME, say):
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            say(f"{NAME}: building with Go {go.version}; this takes a minute, once")
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
                built = Path(folder).resolve() / NAME
                # Whatever GOFLAGS say, go.sum is not written to: a module that it does not know is none of ours.
                command = [str(go.path), "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", str(built), "."]
                run_go(command, SOURCES, Path(folder) / "build.log", NAME, say)
                built.replace(target)
    return find_caller()

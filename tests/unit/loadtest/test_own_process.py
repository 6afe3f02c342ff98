"""A command that goes on in a fork: what passes through, and what happens when whoever waits for it is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.unit

COMMAND = """
import signal, sys, time
from voicefleet.loadtest.own_process import hang_up_if_killed

print("before")
hang_up_if_killed()
try:
    print("after", flush=True)
    if len(sys.argv) == 2:
        sys.exit(int(sys.argv[1]))
    time.sleep(60)
except KeyboardInterrupt:
    # What comes while it hangs up would be a second Ctrl-C: it ends a command that is not done with that.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    again = signal.sigtimedwait({signal.SIGINT}, 0.5)
    print("hung up" if again is None else "told twice", flush=True)
    sys.exit(130)
"""


def started(*arguments: str) -> subprocess.Popen[str]:
    # As a script's background has it: Ctrl-C is ignored from the start.
    ignoring = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]
    command = [*ignoring, sys.executable, "-c", COMMAND, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize("code", [0, 1, 3])
def test_output_and_exit_code_pass_through_once(code: int) -> None:
    process = started(str(code))
    out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == ("before\nafter\n", code)


@pytest.mark.parametrize(
    ("how", "kill", "code"),
    [
        (signal.SIGKILL, os.kill, -9),
        (signal.SIGTERM, os.kill, 130),
        (signal.SIGINT, os.kill, 130),
        (signal.SIGINT, os.killpg, 130),
    ],
    ids=["kill -9", "SIGTERM", "a CI runner's SIGINT", "Ctrl-C in a terminal"],
)
def test_however_it_is_ended_it_hangs_up_once(
    how: signal.Signals, kill: Callable[[int, signal.Signals], None], code: int
) -> None:
    process = started("wait", "long")
    assert process.stdout is not None
    while process.stdout.readline() != "after\n":
        pass
    kill(process.pid, how)
    # Up to the end of the output: of both processes.
    out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == ("hung up\n", code)

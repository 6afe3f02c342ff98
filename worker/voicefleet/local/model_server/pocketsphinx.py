"""PocketSphinx (BSD, its US English model is inside the wheel), in processes of its own.

It holds the GIL while it decodes, 0.25 s for a 2 s question (measured): in a thread it would stop the model server's
event loop, and two threads take longer than one after the other.
"""

from __future__ import annotations

import concurrent.futures
import ctypes
import multiprocessing
import os
import signal
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from voicefleet.local.model_server.models import BrokenModelError, Recognition
from voicefleet.local.model_server.protocol import SAMPLE_RATE

_PR_SET_PDEATHSIG = 1

_decoder: Any = None


def _load(parent: int) -> None:
    """Run once in each process: end with the parent, and load the model."""
    global _decoder
    # The parent may be killed with -9; a process of the pool would then wait for work for ever. The signal follows
    # the thread that started us: the server's main thread, which lives as long as the server.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from pocketsphinx import Decoder  # type: ignore[import-untyped]

    _decoder = Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")
    _decode(bytes(SAMPLE_RATE))


def _decode(pcm: bytes) -> Recognition:
    _decoder.start_utt()
    try:
        if pcm:
            _decoder.process_raw(pcm, full_utt=True)
    finally:
        _decoder.end_utt()
    hypothesis = _decoder.hyp()
    if hypothesis is None:
        return Recognition(text="", confidence_ratio=0.0)
    return Recognition(text=hypothesis.hypstr.strip(), confidence_ratio=min(1.0, max(0.0, hypothesis.prob)))


def _ready() -> bool:
    return _decoder is not None


class PocketSphinxPool:
    """`threads` processes with one decoder each, about 120 MB resident apiece."""

    def __init__(self, threads: int) -> None:
        import pocketsphinx  # noqa: F401  (a missing package must be said here, not in a child)

        self._pool = concurrent.futures.ProcessPoolExecutor(
            max_workers=threads,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_load,
            initargs=(os.getpid(),),
        )
        for waiting in [self._pool.submit(_ready) for _ in range(threads)]:
            waiting.result()

    def recognize(self, pcm: bytes, options: dict[str, Any]) -> Recognition:
        """What is said in 16 kHz mono s16le `pcm`; waits for it. There are no options.

        Raises:
            BrokenModelError: one of the processes died, and with it the pool.
        """
        try:
            return self._pool.submit(_decode, pcm).result()
        except BrokenProcessPool as error:
            raise BrokenModelError("a PocketSphinx process died") from error

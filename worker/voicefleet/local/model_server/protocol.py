"""HTTP between job processes and the model server, over a Unix socket.

``POST /recognize/MODEL?OPTION=VALUE`` with 16 kHz mono s16le PCM as its body is answered with the JSON of `Reply`.
``POST /speak/MODEL`` with a sentence as its body is answered with a WAV file.
``POST /write/MODEL`` with the JSON of `Task` as its body is answered with JSON lines while the model writes:
``{"text": ...}`` for each piece, then ``{"waited_s": ..., "compute_s": ...}``; without that last line it was cut off.
``GET /status`` is answered with ``{"unfinished": requests, "oldest_running_s": seconds}``. A refusal has its reason as
its text: status 4xx for a request that will never succeed, 408 or 503 for one that may succeed later.

A connection carries one request, so that closing it cancels exactly that request.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import aiohttp

SAMPLE_RATE = 16_000
"""Samples per second of every recognition; all recognisers were trained at it."""

MODELS = ("whisper", "whisper-base", "pocketsphinx", "smollm2", "piper")
"""Names of the models that the server can load."""

MAX_PCM_BYTES = 2 * SAMPLE_RATE * 120
"""Two minutes of speech: longer means a voice activity detector that never closed."""

MAX_TEXT_BYTES = 256 * 1024
"""Of a sentence to speak, or of a task to write: more is a mistake, and no small model reads it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The recognized words, and the seconds it took: `waited_s` for a free thread, `compute_s` in the model."""

    text: str
    confidence_ratio: float
    waited_s: float
    compute_s: float


@dataclass(frozen=True, slots=True)
class Task:
    """What a language model is to write.

    Attributes:
        prompt: what it goes on from, as it stands: no chat template is put around it.
        grammar: what it may write, in llguidance's Lark; empty: anything.
        stop: it ends before these words.
        most_tokens: it ends after so many.
    """

    prompt: str
    grammar: str = ""
    stop: str = "\n"
    most_tokens: int = 80


def http_session(socket_path: str | Path) -> aiohttp.ClientSession:
    """A session of requests to the server at `socket_path`: no time limit of its own, no connection kept open."""
    return aiohttp.ClientSession(
        "http://models",
        connector=aiohttp.UnixConnector(str(socket_path), force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(),
    )

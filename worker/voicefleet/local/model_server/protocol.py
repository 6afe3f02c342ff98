"""HTTP between job processes and the model server, over a Unix socket.

``POST /recognize/MODEL?OPTION=VALUE`` with 16 kHz mono s16le PCM as its body is answered with the JSON of `Reply`.
``GET /status`` is answered with ``{"unfinished": requests, "oldest_running_s": seconds}``. A refusal has its reason as
its text: status 4xx for a request that will never succeed, 408 or 503 for one that may succeed later.

A connection carries one request, so that closing it cancels exactly that request.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import aiohttp

SAMPLE_RATE = 16_000
"""Samples per second of every request; all models were trained at it."""

MODELS = ("whisper", "whisper-base", "pocketsphinx")
"""Names of the models that the server can load."""

MAX_PCM_BYTES = 2 * SAMPLE_RATE * 120
"""Two minutes of speech: longer means a voice activity detector that never closed."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The recognized words, and the seconds it took: `waited_s` for a free thread, `compute_s` in the model."""

    text: str
    confidence_ratio: float
    waited_s: float
    compute_s: float


def http_session(socket_path: str | Path) -> aiohttp.ClientSession:
    """A session of requests to the server at `socket_path`: no time limit of its own, no connection kept open."""
    return aiohttp.ClientSession(
        "http://models",
        connector=aiohttp.UnixConnector(str(socket_path), force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(),
    )

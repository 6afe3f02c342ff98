"""The one place where the local providers touch the environment."""

from __future__ import annotations

import os

MODEL_SOCKET_VARIABLE = "VOICEFLEET_MODEL_SOCKET"
"""Where job processes find the path of the model server's socket; the worker sets it before any job starts."""


def model_socket() -> str | None:
    """Path of the model server's socket, as the worker exported it."""
    return os.environ.get(MODEL_SOCKET_VARIABLE) or None


def model_server_environment() -> dict[str, str]:
    """Our environment, and what must stand in it before the model server imports numpy and faster-whisper."""
    return {
        **os.environ,
        # The models are on disk: a look at the network could only add seconds.
        "HF_HUB_OFFLINE": "1",
        # Their pools spin while they wait: without this an utterance costs twice its CPU, and is no faster.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }

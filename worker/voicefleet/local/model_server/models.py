"""What a model gives back, and what the model server asks of one. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from voicefleet.local.model_server.protocol import Task


@dataclass(frozen=True, slots=True)
class Recognition:
    """The words that were heard: `text` is empty for no speech, `confidence_ratio` lies in 0-1."""

    text: str
    confidence_ratio: float


class BrokenModelError(Exception):
    """The loaded model will never answer again: the process that holds it must be replaced."""


@runtime_checkable
class Recognizer(Protocol):
    """A loaded recogniser. `recognize` blocks; the server calls it from as many threads as it was made for."""

    def recognize(self, pcm: bytes, options: dict[str, Any]) -> Recognition: ...


@runtime_checkable
class Speaker(Protocol):
    """A loaded voice. `speak` blocks, as above, and gives a mono 16-bit WAV file."""

    def speak(self, sentence: str) -> bytes: ...


@runtime_checkable
class Writer(Protocol):
    """A loaded language model. `write` blocks, as above; it hands each piece of text to `emit`, and ends early when
    that returns False."""

    def write(self, task: Task, emit: Callable[[str], bool]) -> None: ...


Model = Recognizer | Speaker | Writer

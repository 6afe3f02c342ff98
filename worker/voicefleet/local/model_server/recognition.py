"""What a recogniser gives back, and what the model server asks of one. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Recognition:
    """The words that were heard: `text` is empty for no speech, `confidence_ratio` lies in 0-1."""

    text: str
    confidence_ratio: float


class BrokenModelError(Exception):
    """The loaded model will never answer again: the process that holds it must be replaced."""


class Recognizer(Protocol):
    """A loaded model. `recognize` blocks; the server calls it from as many threads as it was made for."""

    def recognize(self, pcm: bytes, options: dict[str, Any]) -> Recognition: ...

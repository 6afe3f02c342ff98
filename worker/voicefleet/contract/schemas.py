"""What all schemas of the HTTP API share: they are frozen and take no unknown field; names are plain text."""

from __future__ import annotations

import unicodedata

from pydantic import BaseModel, ConfigDict


class Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_NOT_PLAIN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(text: str) -> str:
    """A name that is one line, and shown as it is. NUL ends a text in C; a new line makes two of one in a log."""
    if any(unicodedata.category(c) in _NOT_PLAIN or c in _BIDI for c in text):
        raise ValueError("it holds a control character")
    return text

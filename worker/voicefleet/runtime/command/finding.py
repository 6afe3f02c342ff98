"""A finding: one line of the doctor's report."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.StrEnum):
    """ok: works. warning: works, with less. failure: something that voicefleet needs does not work."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` in a word or two, what was found, and a hint when it is not ok."""

    verdict: Verdict
    subject: str
    found: str
    hint: str = ""


def ok(subject: str, found: str) -> Finding:
    return Finding(Verdict.OK, subject, found)


def warning(subject: str, found: str, hint: str) -> Finding:
    return Finding(Verdict.WARNING, subject, found, hint)


def failure(subject: str, found: str, hint: str) -> Finding:
    return Finding(Verdict.FAILURE, subject, found, hint)


def exit_code(findings: list[Finding]) -> int:
    """1 when anything failed; warnings are no failure."""
    return 1 if any(f.verdict is Verdict.FAILURE for f in findings) else 0

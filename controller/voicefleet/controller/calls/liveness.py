"""Liveness of jobs: whether the job that holds a call is well, suspect, unfit, or dead for sure. Pure.

No single witness is enough to take a call from its job. Redis alone never is: a job may be cut off from it and still
talk to its caller. So what Redis shows makes a job suspect, and LiveKit is asked (see `probe`); a job is dead for sure
only when the one that runs its process says so.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from voicefleet.contract.claims import DEAF, MUTE, Claim, ClaimState
from voicefleet.controller.pool.worker_store import Reported

LISTENS_AFTER_MS = 1_000
"""A job may take its claim a moment before it listens."""


class Health(enum.Enum):
    WELL = "well"
    SUSPECT = "suspect"
    """To be asked through LiveKit."""
    UNFIT = "unfit"
    """It lives, and is sure itself that it is of no use to its caller: a fresh one is to have the call."""
    DEAD = "dead"


class Reason(enum.StrEnum):
    """What told that a job is not well; a label of metrics."""

    NONE = ""
    WORKER_ENDED = "worker_ended"
    """Its worker's process ended: the one that started it says so."""
    JOB_ENDED = "job_ended"
    """Its worker does not have it any more."""
    NOT_LISTENING = "not_listening"
    NOT_RENEWED = "not_renewed"
    TROUBLE = "trouble"
    """The job says so itself."""
    DEAF = "deaf"
    """The job says that it does not hear its caller."""
    MUTE = "mute"
    """The job says that it is not heard."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is thought of the job that has one call."""

    health: Health
    reason: Reason = Reason.NONE


WELL = Verdict(Health.WELL)


def evaluate(
    claim: Claim,
    *,
    overdue: bool,
    held_for_ms: int,
    listening: bool,
    report: Reported | None,
    departed: bool,
) -> Verdict:
    """The verdict on the holder of `claim`. Times are of Redis's clock.

    Args:
        overdue: it was not renewed for `RENEWAL_OVERDUE_MS`.
        held_for_ms: since this job was first seen with the live claim.
        listening: it listens on its channel.
        report: the last one of its worker, if there is any.
        departed: its worker's process ended for sure.
    """
    if departed:
        return Verdict(Health.DEAD, Reason.WORKER_ENDED)
    # A claim without a time of renewal is of a release that does not tell more.
    if claim.state != ClaimState.LIVE or not claim.renewed_ms:
        return WELL
    if not listening and held_for_ms >= LISTENS_AFTER_MS:
        gone = _not_listed(claim, report)
        return Verdict(Health.DEAD, Reason.JOB_ENDED) if gone else Verdict(Health.SUSPECT, Reason.NOT_LISTENING)
    if overdue:
        return Verdict(Health.SUSPECT, Reason.NOT_RENEWED)
    if claim.trouble in (DEAF, MUTE):
        return Verdict(Health.UNFIT, Reason(claim.trouble))
    if claim.trouble:
        return Verdict(Health.SUSPECT, Reason.TROUBLE)
    return WELL


def _not_listed(claim: Claim, report: Reported | None) -> bool:
    """The worker said, after the job last gave a sign of life, that it does not have it."""
    if report is None or report.report.jobs is None or not report.prompt:
        return False
    return report.at_ms > claim.renewed_ms and claim.job not in report.report.jobs


def fault_of_ours(verdicts: Iterable[tuple[str, Verdict]]) -> bool:
    """Whether so many jobs are suspect at once that the cause is more likely our view than all of them.

    So it is when more than half of two or more workers have nothing but suspect calls, and no worker ended.

    Args:
        verdicts: worker and verdict of every live call.
    """
    calls: dict[str, list[Verdict]] = {}
    for worker, verdict in verdicts:
        calls.setdefault(worker, []).append(verdict)
    if any(v.reason is Reason.WORKER_ENDED for found in calls.values() for v in found):
        return False
    suspect = sum(all(v.health is Health.SUSPECT for v in found) for found in calls.values())
    return len(calls) >= 2 and suspect * 2 > len(calls)

"""Which tier serves a call: the one that it names, else the one that it had, else its pool's; or one below it."""

from __future__ import annotations

import asyncio

from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.tier_choice import TierChoice
from voicefleet.worker.conversation.transcript import CallTranscript
from voicefleet.worker.job.parts import Job
from voicefleet.worker.ladder.level import Level
from voicefleet.worker.tiers.load import ReadyTier, Tiers

LIMIT_S = 0.3
"""For Redis to say it: beside the room's connection, which takes longer."""


async def choose_tier(job: Job) -> TierChoice | None:
    """What the controller says of calls that name no tier; None: this one does, or nobody says anything in time."""
    if job.dispatch.order.tier:
        return None
    try:
        async with asyncio.timeout(LIMIT_S):
            return await job.ports.tier_choice()
    except (UnknownStateError, TimeoutError):
        return None


def pick_tier(job: Job, tiers: Tiers, before: CallTranscript | None, choice: TierChoice | None) -> ReadyTier:
    """The tier of the call. One that was drawn for a canary stands in the call's log, so that it counts for it."""
    if named := job.dispatch.order.tier or (before.tier if before else ""):
        return tiers.pick(named)
    if choice is None:
        return tiers.pick("")
    drawn = choice.pick(job.room)
    if choice.trial and drawn in tiers.by_name:
        job.ports.facts.drawn(drawn, choice.trial)
    return tiers.pick(drawn)


def first_tier(asked: ReadyTier, tiers: Tiers, before: CallTranscript | None, level: Level) -> ReadyTier:
    """The tier that the call is served by when the session starts, on a worker that stands on `level` of its ladder.

    A call that another job had begins on its own tier, with the voice that its caller knows; it steps between turns.
    """
    if before is None:
        return tiers.serving(asked, level.steps)
    known = tiers.by_name.get(before.voice) if tiers.ladder is not None and tiers.ladder.keep_voice else None
    return asked if known is None else asked.with_voice(known)

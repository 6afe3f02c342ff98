"""Which tier serves a call that names none."""

from __future__ import annotations

import asyncio
import json

import pytest

from support.fake_job import FakeJob
from support.virtual_time import run
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.tier_choice import TierChoice
from voicefleet.worker.agents import Assistant
from voicefleet.worker.call import current_call

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("unguarded")]

OWN = "a"
"""The only tier that the worker of these tests has, and its default."""


def served(choice: TierChoice | Exception | None, metadata: str = "") -> tuple[str, list[tuple[str, str]]]:
    """The tier of the call, and what its log says it was drawn for."""

    async def case() -> tuple[str, list[tuple[str, str]]]:
        job = FakeJob(lambda _: Assistant("Hello there."), choice=choice, metadata=metadata)
        await job.serve()
        await asyncio.sleep(1.0)
        call = current_call()
        assert call is not None
        await job.end()
        return call.tier, job.facts.drawn_for

    return run(case())


def test_a_call_is_drawn_and_its_log_says_for_what() -> None:
    assert served(TierChoice("steady", OWN, 100, "abc")) == (OWN, [(OWN, "abc")])
    assert served(TierChoice(OWN, "quick", 0, "abc")) == (OWN, [(OWN, "abc")])


def test_without_a_canary_it_counts_for_none() -> None:
    assert served(TierChoice(OWN)) == (OWN, [])


def test_a_call_that_names_its_tier_is_not_drawn() -> None:
    metadata = json.dumps({"v": 1, "tier": OWN})
    assert served(TierChoice("steady", OWN, 100, "abc"), metadata) == (OWN, [])


def test_what_is_not_known_or_not_there_costs_no_call() -> None:
    assert served(None) == (OWN, [])
    assert served(UnknownStateError("Redis is away")) == (OWN, [])
    assert served(TierChoice("steady", "quick", 50, "abc")) == (OWN, []), "neither is of this worker"

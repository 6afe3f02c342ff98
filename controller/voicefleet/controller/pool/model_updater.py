"""Keeps what a pool's leader learned for the next leader."""

from __future__ import annotations

from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.scaling import PolicyState
from voicefleet.scaling.policy_state import dump, load

SAVE_EVERY_S = 60.0

log = get_logger(__name__)


class ModelUpdater:
    """Reads and writes the learned models of one pool."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._saved_s = region.clock.monotonic()

    async def restore(self) -> PolicyState | None:
        """What the last leader learned; None when there is nothing, or Redis does not answer: it is learned anew."""
        try:
            text = await self._region.models.read()
        except UnknownStateError as error:
            log.warning("learned models not read: learning anew", region=self._region.name, error=str(error))
            return None
        return None if text is None else load(text)

    async def save(self, learned: PolicyState, *, at_once: bool = False) -> None:
        """Write what was learned, at most once in `SAVE_EVERY_S` seconds unless `at_once`. A failure is noted only."""
        region, now_s = self._region, self._region.clock.monotonic()
        if not at_once and now_s - self._saved_s < SAVE_EVERY_S:
            return
        self._saved_s = now_s
        try:
            await region.models.write(dump(learned))
        except UnknownStateError as error:
            region.reads.failed("models", error)
            return
        region.reads.succeeded("models")

"""Claims in Redis. Every change is a Lua script: one atomic move of the protocol in `contract.claims`."""

from __future__ import annotations

from dataclasses import dataclass

from voicefleet.contract import codec
from voicefleet.contract.claims import ACCEPTED_TTL_MS, EPOCH_TTL_MS, LIVE_TTL_MS, Claim
from voicefleet.contract.keys import Keys
from voicefleet.runtime.redis import Scripts


@dataclass(frozen=True, slots=True)
class Accepted:
    """The call is ours to take; `epoch` is our place in the room's history."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Held:
    """Another job has the call."""

    by: Claim


class ClaimStore:
    """Claims of one region. Every method raises `UnknownStateError` when Redis does not answer."""

    def __init__(self, scripts: Scripts, region: str) -> None:
        self._scripts = scripts
        self._keys = Keys(region)

    async def accept(self, room: str, room_sid: str, *, worker: str, job: str) -> Accepted | Held:
        """Reserve the call in `room` for `job`; asking again for the same job is answered alike."""
        keys = [self._keys.claim(room), self._keys.epoch(room)]
        won, value = await self._scripts.run(
            "claim_accept", keys, [worker, job, room_sid, ACCEPTED_TTL_MS, EPOCH_TTL_MS]
        )
        return Accepted(int(value)) if int(won) else Held(codec.load(Claim, value))

    async def live(self, room: str, room_sid: str, *, worker: str, job: str, epoch: int) -> int | None:
        """Take or renew the live claim. Called by the job itself, only while it is connected to the room.

        Args:
            epoch: what `accept` gave; 0 when the call was accepted while Redis was away.

        Returns:
            The epoch held, or None when the call is another job's: leave without a word.
        """
        keys = [self._keys.claim(room), self._keys.epoch(room)]
        held = int(
            await self._scripts.run("claim_live", keys, [worker, job, room_sid, epoch, LIVE_TTL_MS, EPOCH_TTL_MS])
        )
        return held or None

    async def release(self, room: str, *, job: str) -> bool:
        """Give the claim back; True when it was this job's. A claim of another job is left alone."""
        return bool(await self._scripts.run("claim_release", [self._keys.claim(room)], [job]))

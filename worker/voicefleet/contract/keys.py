"""Names of the Redis keys of one region.

Every key carries the region as its hash tag, so that one region's keys sit in one slot of a Redis Cluster and a Lua
script may touch several of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PREFIX = "voicefleet"

REGION_PATTERN = re.compile(r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of `region`. Times in them are milliseconds of the Redis server's clock."""

    region: str

    def _key(self, *parts: str) -> str:
        return ":".join((PREFIX, f"{{{self.region}}}", *parts))

    @property
    def region_prefix(self) -> str:
        """What every key and channel of the region begins with."""
        return self._key("")

    @property
    def workers(self) -> str:
        """Sorted set: worker id -> time of its last report."""
        return self._key("workers")

    @property
    def callers(self) -> str:
        """Sorted set: room with a caller in it -> time the caller joined."""
        return self._key("callers")

    @property
    def expected(self) -> str:
        """Sorted set: room of a call whose caller is still to come -> since when; it is in `callers` too."""
        return self._key("expected")

    @property
    def left(self) -> str:
        """Sorted set: room whose last caller left, and that may still be there -> when."""
        return self._key("left")

    @property
    def waiting(self) -> str:
        """Sorted set: room of a waiting call -> rank, the time it began to wait (lower is served first)."""
        return self._key("waiting")

    @property
    def inflight(self) -> str:
        """Sorted set: room with a dispatch under way -> time after which it counts as lost."""
        return self._key("inflight")

    @property
    def changed(self) -> str:
        """Sorted set: room whose call or claim changed lately -> when; renewals of a claim are no change."""
        return self._key("changed")

    @property
    def renewed(self) -> str:
        """Sorted set: room with a live claim -> when its job last renewed it."""
        return self._key("renewed")

    @property
    def events(self) -> str:
        """Pub/sub channel: something in this region changed, look again."""
        return self._key("events")

    def report(self, worker: str) -> str:
        """String: the worker's last report."""
        return self.report_prefix + worker

    @property
    def report_prefix(self) -> str:
        """`report(worker)` without the worker, for scripts that look at many workers of this region."""
        return self._key("report", "")

    def order(self, worker: str) -> str:
        """String: what the controller wants of the worker."""
        return self.order_prefix + worker

    @property
    def order_prefix(self) -> str:
        """`order(worker)` without the worker."""
        return self._key("order", "")

    def term(self, lease: str) -> str:
        """String: the number of the last term, of the Lease with this uid, whose leader gave orders."""
        return self._key("term", lease)

    def claim(self, room: str) -> str:
        """String: which job holds the call in `room`."""
        return self._key("claim", room)

    @property
    def claim_prefix(self) -> str:
        """`claim(room)` without the room, for scripts that look at many rooms of this region."""
        return self._key("claim", "")

    def epoch(self, room: str) -> str:
        """Counter: how often the call in `room` was claimed; a job with a lower number is fenced off."""
        return self._key("epoch", room)

    def fenced(self, room: str) -> str:
        """Set: jobs that must never hold the call in `room` again."""
        return self._key("fenced", room)

    def troubled(self, room: str) -> str:
        """Hash: how often the call in `room` was moved because its job said that it was deaf or mute, and when last."""
        return self._key("troubled", room)

    def handoff(self, room: str) -> str:
        """String: the call in `room` is on its way to another worker."""
        return self._key("handoff", room)

    def aside(self, room: str) -> str:
        """String: why the call in `room` wants no agent (see `contract.aside`)."""
        return self.aside_prefix + room

    def removing(self, room: str) -> str:
        """String: the job whose agent the controller removes from `room`, to give its call to another."""
        return self._key("removing", room)

    @property
    def aside_prefix(self) -> str:
        """`aside(room)` without the room."""
        return self._key("aside", "")

    def transcript(self, room: str) -> str:
        """String: the conversation in `room` so far, for an agent that takes it over."""
        return self._key("transcript", room)

    def transcript_of(self, room: str) -> str:
        """String: the sid of the room that `transcript(room)` is of. Names recur, and a transcript may be encrypted."""
        return self._key("transcript_of", room)

    @property
    def open_claims(self) -> str:
        """Hash: room -> job whose claim was opened last and not closed since."""
        return self._key("open_claims")

    @property
    def ledger(self) -> str:
        """Hash of counts: claims opened; closed as released, recovered, handed_over, finished, expired.

        Invariant: opened = the sum of all others + the length of `open_claims`.
        """
        return self._key("ledger")

    @property
    def models(self) -> str:
        """String: what the scaler has learned of this region's calls and workers."""
        return self._key("models")

    @property
    def campaigns(self) -> str:
        """Sorted set: announced campaign -> its end."""
        return self._key("campaigns")

    @property
    def incidents(self) -> str:
        """Stream: what happened to this region, of the last days; see `contract.incidents`."""
        return self._key("incidents")

    @property
    def answers(self) -> str:
        """Hash: replica -> how it answered requests for calls in the last minutes."""
        return self._key("answers")

    @property
    def drains(self) -> str:
        """Set: workers that somebody ordered to drain and end."""
        return self._key("drains")

    def job_channel(self, job: str) -> str:
        """Pub/sub channel on which `job` listens as long as it lives: Redis sees a process's end at once."""
        return self.job_channel_prefix + job

    @property
    def job_channel_prefix(self) -> str:
        """`job_channel(job)` without the job."""
        return self._key("job", "")

    def call(self, room: str) -> str:
        """String: what is known of the call in `room`."""
        return self._key("call", room)

    def ended(self, room: str) -> str:
        """String: the call in `room` was ended on purpose, and is not to go on with the same ticket."""
        return self._key("ended", room)

    def dial(self, room: str) -> str:
        """String: the outbound call in `room`, and how its dial goes."""
        return self._key("dial", room)

    @property
    def dials(self) -> str:
        """Sorted set: room of an outbound call that is not over -> when to look at it next."""
        return self._key("dials")

    def trunk(self, trunk: str) -> str:
        """Sorted set: room of a call that has a place on this SIP trunk -> since when."""
        return self._key("trunk", trunk)

    def trunk_next(self, trunk: str) -> str:
        """String: when the next number may be dialled on this SIP trunk."""
        return self._key("trunk_next", trunk)

    def waiting_message(self, room: str) -> str:
        """String: a replica speaks, or spoke a moment ago, to the waiting caller in `room`."""
        return self._key("waiting_message", room)

    @property
    def call_prefix(self) -> str:
        """`call(room)` without the room."""
        return self._key("call", "")

    @property
    def open_calls(self) -> str:
        """Sorted set: id of a call that has not ended -> when to look whether it is over."""
        return self._key("open_calls")

    def call_of(self, room: str) -> str:
        """String: id of the newest call in `room`."""
        return self._key("call_of", room)

    def calls_in(self, room_sid: str) -> str:
        """Counter: calls that there were in the room with this LiveKit sid; it numbers their ids."""
        return self._key("calls_in", room_sid)

    def call_log(self, call: str) -> str:
        """Hash: what is known of the call with this id; see `contract.call_log`."""
        return self._key("call_log", call)

    def call_facts(self, call: str) -> str:
        """List: what happened in the call with this id, in order."""
        return self._key("call_facts", call)

    def canary(self, trial: str) -> str:
        """Hash: when the canary with this fingerprint began in this pool, and what was decided of it."""
        return self._key("canary", trial)

    def canary_figures(self, trial: str) -> str:
        """Hash of counts: what the calls of this pool tell that were over while that canary was tried."""
        return self._key("canary_figures", trial)

    def canary_outcomes(self, trial: str) -> str:
        """List: whether each call was a good one (1 or 0), and its tier, in the order of their ends, while the canary
        of tiers with this fingerprint was tried."""
        return self._key("canary_outcomes", trial)

    @property
    def tier_choice(self) -> str:
        """String: which tier calls of this pool get that name none; see `contract.tier_choice`."""
        return self._key("tier_choice")

    @property
    def past_calls(self) -> str:
        """Sorted set: id of a call that has ended -> when it started."""
        return self._key("past_calls")

    @property
    def unpacked_calls(self) -> str:
        """Sorted set: id of a call that has ended and has a log still -> when to pack it."""
        return self._key("unpacked_calls")

    def past_call(self, call: str) -> str:
        """String: the packed call with this id, which has ended; see `contract.call_archive`."""
        return self._key("past_call", call)

    @property
    def call_events(self) -> str:
        """Stream: call events that are to be told."""
        return self._key("call_events")

    @property
    def call_events_wanted(self) -> str:
        """String: 1, somebody is to be told of call events; 0, nobody. Unknown: they are kept."""
        return self._key("call_events_wanted")

    @property
    def call_events_lease(self) -> str:
        """String: the controller replica that tells the call events of this region now."""
        return self._key("call_events_lease")

    @property
    def pool_lease(self) -> str:
        """String: the controller that runs this pool's worker processes now, by its state directory."""
        return self._key("pool_lease")

    def call_events_told(self, receiver: str) -> str:
        """String: id in `call_events` up to which all were told to `receiver`, or given up."""
        return self._key("call_events_told", receiver)

    def call_events_ahead(self, receiver: str) -> str:
        """Set: ids after `call_events_told(receiver)` that were told before older ones."""
        return self._key("call_events_ahead", receiver)

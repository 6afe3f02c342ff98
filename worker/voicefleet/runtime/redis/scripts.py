"""The arguments of each Lua script in ``lua/``: one frozen value with named fields, which the script reads as `args`.

A script gets it as one JSON object. A unit test holds the fields here and those that the scripts read together.
Times in `_ms` are of the Redis server's clock; `_ttl_ms` are durations.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptArguments:
    """Arguments of the script `script`."""

    script: ClassVar[str]

    def encode(self) -> str:
        """The JSON object that the script decodes."""
        # The values are flat: `asdict` would copy them all.
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimAccept(ScriptArguments):
    script = "claim_accept"
    room: str
    worker: str
    job: str
    room_sid: str
    attempt: int
    accepted_ttl_ms: int
    epoch_ttl_ms: int
    handoff_ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRenew(ScriptArguments):
    script = "claim_renew"
    room: str
    worker: str
    job: str
    room_sid: str
    epoch: int
    attempt: int
    live_ttl_ms: int
    epoch_ttl_ms: int
    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRelease(ScriptArguments):
    script = "claim_release"
    room: str
    job: str
    room_sid: str
    released: str
    released_ttl_ms: int
    epoch_ttl_ms: int
    only_accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AsideChange(ScriptArguments):
    script = "aside_change"
    room: str
    room_sid: str
    change: str
    neighbour_ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveOut(ScriptArguments):
    script = "move_out"
    room: str
    moved_ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveIn(ScriptArguments):
    script = "move_in"
    room: str
    joined_ms: float
    call: str
    log: list[str]
    facts: list[str]
    transcript: str
    transcript_ttl_ms: int
    transcript_of: str
    epoch: str
    fenced: list[str]
    record: str
    record_ttl_ms: int
    epoch_ttl_ms: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveDone(ScriptArguments):
    script = "move_done"
    room: str
    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenClaimsExpire(ScriptArguments):
    script = "open_claims_expire"
    claim_prefix: str
    rooms: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence(ScriptArguments):
    script = "fence"
    jobs: list[str]
    epoch_ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recover(ScriptArguments):
    script = "recover"
    room: str
    worker: str
    job: str
    why: str
    epoch_ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TroubleMove(ScriptArguments):
    script = "trouble_move"
    room_sid: str
    job: str
    most: int
    pause_ms: int
    ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffBegin(ScriptArguments):
    script = "handoff_begin"
    job: str
    handoff_ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffReady(ScriptArguments):
    script = "handoff_ready"
    job: str
    ready: bool
    ttl_ms: int
    channel_prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffYield(ScriptArguments):
    script = "handoff_yield"
    room: str
    job: str
    live_ttl_ms: int
    epoch_ttl_ms: int
    channel_prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptPut(ScriptArguments):
    script = "transcript_put"
    job: str
    transcript: str
    ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptForget(ScriptArguments):
    script = "transcript_forget"
    room_sid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomFinished(ScriptArguments):
    script = "room_finished"
    room: str
    room_sid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Callers(ScriptArguments):
    script = "callers"
    add: list[tuple[str, int, str]]
    expect: list[tuple[str, int]]
    gone: list[str]
    began_ms: int
    left_kept_ms: int
    aside_prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueScan(ScriptArguments):
    script = "queue_scan"
    claim_prefix: str
    call_prefix: str
    aside_prefix: str
    released_ttl_ms: int
    channel_prefix: str
    grace_ms: int
    priority_level_ms: int
    overdue_ms: int
    changes_kept_ms: int
    last_ms: int
    walk_through: int
    walk_cursor: str
    walk_part: int
    listeners_cursor: str
    listeners_part: int
    listeners_asked_ms: int
    listeners_every_ms: int
    rooms: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueTake(ScriptArguments):
    script = "queue_take"
    claim_prefix: str
    free_slots: int
    alone_ms: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DialPut(ScriptArguments):
    script = "dial_put"
    room: str
    rev: int
    dial: str
    active: bool
    due_ms: int
    holds: bool
    ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkTake(ScriptArguments):
    script = "trunk_take"
    room: str
    concurrent: int
    every_ms: int
    kept_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(ScriptArguments):
    script = "report"
    worker: str
    report: str
    report_ttl_ms: int
    channel: str
    wake: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports(ScriptArguments):
    script = "reports"
    report_prefix: str
    order_prefix: str
    forget_after_ms: int
    cursor: str
    part: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(ScriptArguments):
    script = "order"
    term: int
    ttl_s: int
    order: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCount(ScriptArguments):
    script = "call_count"
    member: str
    most: int
    ticket: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOver(ScriptArguments):
    script = "call_over"
    members: list[str]
    kept_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts(ScriptArguments):
    script = "call_facts"
    room: str
    room_sid: str
    job: str
    tier: str
    language: str
    trace: str
    facts: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallNote(ScriptArguments):
    script = "call_note"
    rooms: list[str]
    fact: dict[str, Any]
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReason(ScriptArguments):
    script = "call_reason"
    room: str
    room_sid: str
    reason: str
    over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsDue(ScriptArguments):
    script = "calls_due"
    claim_prefix: str
    look_every_ms: int
    again_ms: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallClose(ScriptArguments):
    script = "call_close"
    id: str
    claim_prefix: str
    at_ms: int
    reason: str
    event: str
    kept_ms: int
    most: int
    pack_after_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsToPack(ScriptArguments):
    script = "calls_to_pack"
    again_ms: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPack(ScriptArguments):
    script = "call_pack"
    id: str
    packed: str
    kept_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease(ScriptArguments):
    script = "lease"
    holder: str
    ttl_ms: int

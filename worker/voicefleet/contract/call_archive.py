"""A call that is over, as it is kept for days: packed, with what a list of past calls shows beside it. Pure.

A call's log is a hash and a list of several kilobytes, since scripts write them while the call lasts. Some time after
its end nothing is added any more: then it becomes one value of about a tenth of that.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass

from voicefleet.contract.call_events import CallSummary
from voicefleet.contract.call_log import CallLog

PACKED_AFTER_MS = 60_000
"""After a call's end; by then its last job has said its last words."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept of past calls in one region: the newest `most`, each for `kept_ms` after its end."""

    kept_ms: int = 7 * 86_400_000
    most: int = 50_000


_MOST_BYTES = 1_000_000
"""Of a log that is unpacked; `MOST_FACTS` take less."""

_PLAIN = "1"
"""Names how `packed` is made, so that another way may come."""

_KEPT_FIELDS = frozenset(
    {"room", "opened_ms", "ended_ms", "left_ms", "over_ms", "lost_ms", "reason", "key", "tier", "language", "answered"}
    | {"released", "trace", "more_facts"}
)
"""Of a log: what its summary is made from."""

_TYPICAL = (
    b'{"room":"call-","opened_ms":"17","reason":"caller_left","key":"web","tier":"balanced","language":"en",'
    b'"answered":"1","released":"1","trace":"","left_ms":"17","over_ms":"17","lost_ms":"17","ended_ms":"17",'
    b'"more_facts":"1"}[{"e":"started","t":17},{"e":"caller","t":17},{"e":"waiting","why":"full","slots":,"live":,'
    b'"starting":0,"t":17},{"attempt":1,"e":"dispatched","t":17},{"e":"answered","worker":"voicefleet-",'
    b'"epoch":1,"waited_ms":,"t":17},{"seconds":1.,"e":"greeting","epoch":1,"t":17},{"e":"recovered","from_worker":"",'
    b'"gap_ms":,{"e":"lost","why":"worker_ended","silent_ms":,{"e":"moved",{"e":"apology","reason":"unanswered",'
    b'"waited_s":5.0,{"e":"provider_failure","reason":"llm: timeout","epoch":1,"t":17},{"e":"interruption",'
    b'"kind":"barge_in","epoch":1,"t":17},{"e":"silence","epoch":1,"t":17},{"e":"silence_over","seconds":,'
    b'{"outcome":"interrupted","e":"turn",{"outcome":"completed","e":"turn","ttfa_s":0.6,"spoke_ms":3,"stages":'
    b'{"eou":0.5,"stt":0.2,"callback":0.0,"llm_ttft":0.3,"tts_ttfb":0.1,"playback":0.0},"epoch":1,"t":17},'
    b'{"e":"no_caller","t":17},{"e":"left","t":17}]'
)
"""What all logs share: a packed one is about a third smaller for it. A change makes a new `_PLAIN`."""


@dataclass(frozen=True, slots=True)
class PackedCall:
    """One past call. Times in `_ms` are Unix time; `waited_s` is -1 where no agent ever came."""

    call: str
    room: str
    opened_ms: int
    ended_ms: int
    packed: str
    reason: str = ""
    key: str = ""
    tier: str = ""
    trace: str = ""
    waited_s: float = -1.0
    turns: int = 0
    apologies: int = 0
    dead_air_s: float = 0.0
    """The longest silence; 0: none was noted."""
    why: str = ""
    """Why that one was."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in the list of past calls, which is in the order of their starts and then of their ids. The list goes on
    behind it."""

    opened_ms: int
    call: str = ""


def pack(call: CallLog, summary: CallSummary) -> PackedCall:
    """`call`, which has ended. `summary`: the one made from it."""
    log = {name: value for name, value in call.log.items() if name in _KEPT_FIELDS}
    text = json.dumps([log, list(call.facts)], separators=(",", ":"))
    squeezed = zlib.compressobj(9, wbits=-15, zdict=_TYPICAL)
    raw = squeezed.compress(text.encode()) + squeezed.flush()
    longest = max(summary.dead_air, key=lambda silence: silence.lasted_s, default=None)
    return PackedCall(
        call=call.call,
        room=call.room,
        opened_ms=int(call.log["opened_ms"]),
        ended_ms=call.ended_ms,
        packed=_PLAIN + base64.b85encode(raw).decode(),
        reason=summary.reason,
        key=summary.key,
        tier=summary.tier,
        trace=summary.trace_id,
        waited_s=-1.0 if summary.waited_s is None else summary.waited_s,
        turns=len(summary.turns),
        apologies=summary.apologies,
        dead_air_s=longest.lasted_s if longest else 0.0,
        why=longest.why if longest else "",
    )


def unpack(past: PackedCall, region: str) -> CallLog | None:
    """The log of a past call. None: this release cannot read it."""
    if not past.packed.startswith(_PLAIN):
        return None
    try:
        raw = base64.b85decode(past.packed[len(_PLAIN) :])
        log, facts = json.loads(zlib.decompressobj(wbits=-15, zdict=_TYPICAL).decompress(raw, _MOST_BYTES))
        return CallLog.read(past.call, region, dict(log), (json.dumps(fact) for fact in facts))
    except (ValueError, TypeError, zlib.error, RecursionError):
        return None

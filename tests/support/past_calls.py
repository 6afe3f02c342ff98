"""Calls that have ended, as a fleet has them on an ordinary day."""

from __future__ import annotations

import json
import random

from voicefleet.contract.call_log import CallLog

START_MS = 1_764_000_000_000


def past_call(turns: int = 10, *, seed: int = 1) -> CallLog:
    """A call of an ordinary day, which has ended; ids and times as they are."""
    rng = random.Random(seed)
    at_ms = START_MS + rng.randrange(10**9)
    facts: list[dict[str, object]] = [{"e": "started", "t": at_ms}, {"e": "caller", "t": at_ms}]
    facts.append({"e": "answered", "worker": f"voicefleet-eu-{rng.randrange(10**6)}", "epoch": 1, "waited_ms": 312})
    facts.append({"e": "greeting", "seconds": round(rng.uniform(0.5, 1.5), 4), "epoch": 1})
    for _ in range(turns):
        stages = {name: round(rng.uniform(0.05, 0.9), 5) for name in ("eou", "stt", "callback", "llm_ttft", "tts_ttfb")}
        facts.append({"e": "turn", "outcome": "completed", "ttfa_s": round(rng.uniform(0.4, 1.4), 4)})
        facts[-1] |= {"stages": stages, "spoke_ms": rng.randrange(9_000), "epoch": 1}
    facts += [{"e": "no_caller"}, {"e": "left"}]
    for number, fact in enumerate(facts):
        fact.setdefault("t", at_ms + 300 * number if number < 4 else at_ms + 7_000 * number + rng.randrange(3_000))
    log = {
        "room": f"call-{rng.randbytes(8).hex()}",
        "opened_ms": str(at_ms),
        "ended_ms": str(at_ms + 7_000 * len(facts)),
        "left_ms": str(at_ms + 7_000 * len(facts)),
        "reason": "caller_left",
        "key": "web",
        "tier": "balanced",
        "language": "de",
        "answered": "1",
        "trace": rng.randbytes(16).hex(),
        "held:AJ_x": "1",
        "told:call.started": "1",
    }
    read = CallLog.read("RM_1", "eu", log, [json.dumps(fact) for fact in facts])
    assert read is not None
    return read

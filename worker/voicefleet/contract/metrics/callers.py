"""The metrics of a load generator: what its simulated callers hear, at their ears."""

from __future__ import annotations

from voicefleet.contract.metrics import kinds
from voicefleet.contract.metrics.kinds import Metric

_DIRECTION = {"direction": ("inbound", "outbound")}

CALLER_TTFA = Metric(
    "voicefleet_caller_ttfa_seconds",
    "histogram",
    "Last voiced sample of the caller to the first voiced sample of the agent, at the caller's ear.",
    ("region",),
    kinds.LATENCY_S,
    unit="seconds",
)
CALLER_GREETING = Metric(
    "voicefleet_caller_greeting_seconds",
    "histogram",
    "Caller joined to the agent's first voiced sample.",
    ("region",),
    kinds.LATENCY_S,
    unit="seconds",
)
CALLER_WAIT = Metric(
    "voicefleet_caller_wait_seconds",
    "histogram",
    "Caller joined to the first agent in the room.",
    ("region",),
    kinds.WAIT_S,
    unit="seconds",
)
CALLER_CALLS = Metric(
    "voicefleet_caller_calls",
    "counter",
    "Simulated calls that ended, by what their callers heard.",
    ("region", "result"),
    values={"result": ("answered", "unanswered", "silent", "cut", "error")},
)
CALLER_TURNS = Metric(
    "voicefleet_caller_turns",
    "counter",
    "Questions asked, by what came of them.",
    ("region", "outcome"),
    values={"outcome": ("answered", "apology", "unanswered", "cut_in")},
)
CALLERS_LIVE = Metric("voicefleet_callers_live", "gauge", "Simulated callers in a room.")
CALLER_LAG = Metric(
    "voicefleet_caller_lag_seconds",
    "histogram",
    "How much later than intended a call was started: the generator's own fault.",
    (),
    kinds.LATENCY_S,
    unit="seconds",
)

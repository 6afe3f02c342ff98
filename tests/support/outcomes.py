"""Calls as the callers report them, made up."""

from __future__ import annotations

from dataclasses import replace

from voicefleet.callers.outcome import CallOutcome, TurnOutcome
from voicefleet.contract.api import RegionView

TURN = TurnOutcome(
    index=0,
    text="one?",
    asked_at_s=3.0,
    t0_s=4.0,
    ttfa_s=0.5,
    answered=True,
    cut_in=False,
    waited_s=0.5,
    reply_end_s=6.0,
)
GOOD = CallOutcome(
    call_id="call-00000",
    region="eu",
    room="r",
    voice="slt",
    t_start_s=0.0,
    lag_s=0.01,
    place_s=0.1,
    connect_s=0.1,
    joined_at_s=5.0,
    ended_s=20.0,
    wait_s=0.2,
    greeting_s=0.8,
    turns=(TURN, replace(TURN, index=1, asked_at_s=8.0, t0_s=9.0, ttfa_s=0.7, reply_end_s=12.0)),
    answered=True,
    events=((0.0, "joined"),),
)
LOST = replace(TURN, ttfa_s=None, answered=False, waited_s=60.3, reply_end_s=None)
SILENT = replace(GOOD, call_id="call-00001", region="us", silent=True, turns=(TURN, LOST))
CUT = replace(GOOD, call_id="call-00002", cut=True)
UNHEARD = replace(GOOD, call_id="call-00003", answered=False, greeting_s=None, wait_s=None, silent=True, turns=())
_APOLOGY = replace(TURN, ttfa_s=None, answered=False, apology=True, waited_s=5.2)
APOLOGISED = replace(GOOD, turns=(_APOLOGY, replace(_APOLOGY, index=1)), greeting_apology=True, answered=False)
FAILED = CallOutcome("call-00004", "", "", "slt", t_start_s=4.0, lag_s=0.0, place_s=3.0, error="UnreachableError('no')")


def region_view(region: str, *, ready: int | None = 1, live: int | None = 0, slots: int | None = 2) -> RegionView:
    """What `GET /v1/regions` says of one region."""
    return RegionView(
        region=region,
        status="ok" if ready is not None else "unknown",
        min_workers=1,
        max_workers=3,
        slots_per_worker=2,
        desired_workers=1,
        starting=0,
        ready=ready,
        draining=0,
        slots=slots,
        live=live,
        waiting=0,
        workers=[],
    )

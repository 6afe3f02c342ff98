"""How long a call waits for a caller that left depends on who it is, how it left, and what the team's options say."""

from __future__ import annotations

import pytest
from livekit import rtc

from voicefleet.worker.job.caller_wait import AfterLeave, after_leave

pytestmark = pytest.mark.unit

STANDARD = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD
SIP = rtc.ParticipantKind.PARTICIPANT_KIND_SIP
LEFT, REJECTED = rtc.DisconnectReason.CLIENT_INITIATED, rtc.DisconnectReason.USER_REJECTED
LOST = rtc.DisconnectReason.CONNECTION_TIMEOUT
AT_ONCE = AfterLeave(0.0, orderly=True)
IN_A_WHILE = AfterLeave(20.0, orderly=False)


@pytest.mark.parametrize(
    ("kind", "reason", "closes", "return_wait_s", "expected"),
    [
        (STANDARD, LEFT, True, 5.0, AfterLeave(5.0, orderly=True, may_return=True)),
        (STANDARD, LEFT, True, 60.0, AfterLeave(20.0, orderly=True, may_return=True)),
        (STANDARD, LEFT, True, 0.0, AT_ONCE),
        (STANDARD, REJECTED, True, 5.0, AT_ONCE),
        (SIP, LEFT, True, 5.0, AT_ONCE),
        (STANDARD, LEFT, False, 5.0, IN_A_WHILE),
        (STANDARD, LOST, True, 5.0, IN_A_WHILE),
        (SIP, LOST, True, 5.0, IN_A_WHILE),
        (STANDARD, None, True, 5.0, IN_A_WHILE),
    ],
)
def test_after_a_leave(
    kind: rtc.ParticipantKind.ValueType,
    reason: rtc.DisconnectReason.ValueType | None,
    closes: bool,
    return_wait_s: float,
    expected: AfterLeave,
) -> None:
    assert after_leave(kind, reason, closes=closes, return_wait_s=return_wait_s, caller_gone_s=20.0) == expected

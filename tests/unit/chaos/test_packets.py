"""What the packet filter's listings tell."""

from __future__ import annotations

import pytest

from voicefleet.chaos.packets import left_behind

pytestmark = pytest.mark.unit

LISTING = """-P INPUT ACCEPT
-N DOCKER
-N VOICEFLEET-12
-N VOICEFLEET-345
-N VOICEFLEET-OF-A-TEAM
-A INPUT -i lo -j VOICEFLEET-12
"""


def test_chains_whose_process_is_gone_are_left_behind_and_no_others() -> None:
    assert left_behind(LISTING, is_alive=lambda pid: pid == 345) == ("VOICEFLEET-12",)
    assert left_behind(LISTING, is_alive=lambda _: True) == ()
    assert left_behind("", is_alive=lambda _: False) == ()

"""What tests of whole jobs share."""

from __future__ import annotations

import pytest
from livekit.agents import AgentSession

from voicefleet.worker.job import session_access


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job guards the sessions of its process for good; here the process is the tests' own."""
    monkeypatch.setattr(AgentSession, "start", AgentSession.start)
    monkeypatch.setattr(session_access, "_guard", session_access._Guard())

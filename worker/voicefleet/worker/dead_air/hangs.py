"""Names the stage that hangs when a caller has waited too long and nobody has failed.

An apology ends what is pending, and most often before the stage's own time limit has passed: without this nobody would
be told that the provider hung.
"""

from __future__ import annotations

from typing import Any

from livekit.agents import AgentSession

from voicefleet.worker.dead_air.detector import Reason
from voicefleet.worker.job import sdk
from voicefleet.worker.providers.early_stt import EarlySTT
from voicefleet.worker.providers.fallback import members_of
from voicefleet.worker.providers.limits import waits

_STAGES = ("stt", "llm", "tts")
"""In the order in which they need each other: a voice cannot begin while the LLM keeps its words back."""


def hung_stage(session: AgentSession[Any], reason: Reason) -> str:
    """The stage whose output is missing, as a metric label; empty: none is, as far as anybody can tell.

    `other` is the agent's own code: the turn was taken, and it has asked no provider. A recogniser that streams by
    itself has no requests, so one that made nothing of a turn counts as hanging.
    """
    if reason not in (Reason.GREETING, Reason.UNHEARD, Reason.UNANSWERED):
        return ""
    for stage in _STAGES:
        provider = sdk.provider_of(session, stage)
        if provider is not None and any(map(waits, members_of(provider) or (provider,))):
            return stage
    if reason is Reason.UNHEARD:
        recogniser = sdk.provider_of(session, "stt")
        streams = recogniser is not None and recogniser.capabilities.streaming
        return "stt" if streams and not isinstance(recogniser, EarlySTT) else ""
    return "llm" if sdk.is_realtime(session) else "other"

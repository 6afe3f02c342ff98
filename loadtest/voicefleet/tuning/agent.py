"""The tasks' agent as a sweep runs it: with a tier's own turn taking, or, to compare, with livekit-agents' defaults."""

from __future__ import annotations

from livekit.agents import NOT_GIVEN

from voicefleet.tasks.agent import desk as task_desk
from voicefleet.tuning.sweep import PLAIN
from voicefleet.worker.call import CallContext
from voicefleet.worker.job.target import Made


def desk(call: CallContext) -> Made:
    """The factory. In the tier `PLAIN` the session is as ``AgentSession(stt=..., llm=..., tts=...)`` makes it."""
    agent = task_desk(call)
    return (agent, {"vad": NOT_GIVEN, "turn_handling": {}}) if call.tier == PLAIN else agent

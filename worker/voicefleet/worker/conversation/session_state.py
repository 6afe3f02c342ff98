"""What goes with a call beside its conversation: which agent has it, the session's userdata, the work under way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from livekit.agents import AgentSession, JobContext

from voicefleet.worker.call import CallContext
from voicefleet.worker.conversation.agent_recipe import Given
from voicefleet.worker.conversation.current_agent import CurrentAgent
from voicefleet.worker.conversation.transcript import Loss
from voicefleet.worker.conversation.userdata import UserdataChanges
from voicefleet.worker.conversation.work import CallWork
from voicefleet.worker.job import sdk_work


@dataclass(frozen=True, slots=True)
class SessionState:
    """The parts of one session's state; made before the session starts."""

    session_work: sdk_work.SessionWork
    work: CallWork
    agents: CurrentAgent
    userdata: UserdataChanges


def build_session_state(
    session: AgentSession[Any],
    call: CallContext,
    ctx: JobContext,
    *,
    work: CallWork,
    own_package: str,
    lost: Callable[[Loss], None],
) -> SessionState:
    """See `SessionState`.

    Args:
        work: the call's; it learns of the session's from here on.
        own_package: the team's top-level package.
        lost: told what could not be stored or restored.
    """

    def userdata() -> Any:
        return sdk_work.userdata_of(session)

    session_work = sdk_work.SessionWork(session)
    agents = CurrentAgent(
        lambda: sdk_work.outer_agent(session),
        session_work.entering,
        lambda: Given(call, ctx, userdata()),
        own_package,
        lost,
    )
    work.session_work, work.refusal = session_work.under_way, agents.refusal
    return SessionState(
        session_work,
        work,
        agents,
        UserdataChanges(userdata, lambda: lost(Loss.USERDATA_REFUSED)),
    )

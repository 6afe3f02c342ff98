"""The second part of the adapter to what livekit-agents keeps private (the first: `sdk`): a running session's work,
agents, userdata and end. Pinned like the first."""

from __future__ import annotations

import weakref
from typing import Any

from livekit.agents import Agent, AgentSession, AgentTask, CloseReason
from livekit.agents.voice.tool_executor import _RunningTask, _RunningTasks, _ToolExecutor


def userdata_of(session: AgentSession[Any]) -> Any:
    """The session's userdata; None where it has none."""
    return session._userdata


def take_over_leaving(session: AgentSession[Any]) -> bool:
    """From now on a caller that leaves in order does not end `session`, which has started; whether it did until now."""
    room_io_ = session._room_io
    if room_io_ is None:
        return False
    closes = room_io_._options.close_on_disconnect
    room_io_._options.close_on_disconnect = False
    return bool(closes)


def close_as_left(session: AgentSession[Any]) -> None:
    """End `session` as the SDK does when a caller has left in order."""
    session._close_soon(reason=CloseReason.PARTICIPANT_DISCONNECTED)


class SessionWork:
    """What a session does beside speaking: tools, replies that they wait to give, `on_enter`, agents that change.

    To be made before the session starts. Tools that outlive the reply that called them, and those of a toolset of their
    own, count.
    """

    def __init__(self, session: AgentSession[Any]) -> None:
        self._session = session
        # Those that had a tool: their replies come after the tool is over.
        self._executors: weakref.WeakSet[_ToolExecutor] = weakref.WeakSet()
        session.on("tool_execution_updated", lambda _: self._executors.update(t.executor for t in self._running()))

    def under_way(self) -> list[str]:
        """The names of all that is under way; empty: nothing is."""
        session = self._session
        names = [f"tool {task.ctx.function_call.name}" for task in self._running()]
        if any(_replies(executor) for executor in self._executors):
            names.append("reply of a tool")
        agent, activity = session._agent, session._activity
        if isinstance(agent, AgentTask) and agent._old_agent is not None:
            names.append(f"task {type(agent).__name__}")
        if activity is not None and activity._on_enter_task is not None and not activity._on_enter_task.done():
            names.append(f"on_enter of {type(activity.agent).__name__}")
        if session._activity_lock.locked() or not (
            session._update_activity_atask is None or session._update_activity_atask.done()
        ):
            names.append("change of agents")
        return names

    def speech_pending(self) -> bool:
        """Whether the agent says something, or has something to say that it has not begun to say."""
        activity = self._session._activity
        return self._session.current_speech is not None or (activity is not None and bool(activity._speech_q))

    def entering(self) -> bool:
        """Whether the agent that has the call waits in its `on_enter` for a task."""
        agent = self._session._agent
        inside = isinstance(agent, AgentTask) and agent._old_agent is not None
        outer = outer_agent(self._session)
        activity = outer._activity if inside and outer is not None else None
        return activity is not None and activity._on_enter_task is not None and not activity._on_enter_task.done()

    def _running(self) -> list[_RunningTask]:
        return list(_RunningTasks.get(self._session, {}).values())


def _replies(executor: _ToolExecutor) -> bool:
    return bool(executor._pending_updates) or (executor._reply_task is not None and not executor._reply_task.done())


def outer_agent(session: AgentSession[Any]) -> Agent | None:
    """The agent that has the call. An `AgentTask` that another agent awaits only helps it; None before the start."""
    agent = session._agent
    while isinstance(agent, AgentTask) and agent._old_agent is not None:
        agent = agent._old_agent
    return agent

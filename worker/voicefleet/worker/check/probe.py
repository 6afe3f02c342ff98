"""Runs a team's agent up to the start of its session, in a process of its own: ``python -m ... TARGET TIERS FILE``.

What the team's code does to its surroundings, it does here. The result goes to FILE as JSON: findings, or the field,
value and hint of what is wrong with TARGET or TIERS.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
from collections import UserDict
from pathlib import Path
from typing import Any

from livekit.agents import Agent, AgentSession, JobContext, inference, llm
from livekit.agents.testing import fake_job_context

from voicefleet.contract.calls import CallOrder
from voicefleet.contract.errors import ConfigErrors, Mistakes, UsageError
from voicefleet.worker.agent_path import make_importable
from voicefleet.worker.call import CallContext, set_current_call
from voicefleet.worker.check.fake_room import FakeRoom
from voicefleet.worker.check.findings import STAGES, Findings, Stage
from voicefleet.worker.check.moves import classes_of_the_team, how_it_moves
from voicefleet.worker.job.target import Target, load_target
from voicefleet.worker.server.settings import environment
from voicefleet.worker.tiers.load import ReadyTier, read_tiers, resolve_tiers
from voicefleet.worker.tiers.schema import LONE_TIMEOUT_S

START_LIMIT_S = 20.0
"""As long as a job has to start its session."""


class _Reached(BaseException):
    """The session is being started: the entrypoint is run no further."""


class _AnyVariable(UserDict[str, str]):
    """An environment in which every variable is set."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return "from-elsewhere"


def main(target_path: str, tiers_name: str, result: Path, *, any_variable: bool = False) -> None:
    """Write what was found to `result`."""
    given = _AnyVariable(environment()) if any_variable else environment()
    mistakes, target, tiers = Mistakes("the agent and its tiers"), None, None
    make_importable(target_path)
    with mistakes.noted():
        target = load_target(target_path)
    with mistakes.noted():
        if target is not None or tiers_name:
            tiers = resolve_tiers(read_tiers(tiers_name or target.default_tiers), given)
    try:
        mistakes.refuse()
        assert target is not None
        assert tiers is not None
        document: dict[str, Any] = {"findings": asyncio.run(_probe(target, tiers.pick(""))).to_json()}
    except UsageError as error:
        several = error.errors if isinstance(error, ConfigErrors) else (error,)
        document = {"refused": [_refusal(one) for one in several]}
    result.write_text(json.dumps(document))


def _refusal(error: UsageError) -> dict[str, str | None]:
    value = None if error.value is None else str(error.value)
    return {"what": error.what, "field": error.field, "value": value, "hint": error.hint}


async def _probe(target: Target, tier: ReadyTier) -> Findings:
    problems: list[str] = []
    started: list[tuple[AgentSession[Any] | None, Agent, dict[str, Any]]] = []
    with fake_job_context(room=FakeRoom()) as ctx:
        call = CallContext(region="check", room="check", tier=tier.name, order=CallOrder(), worker="check")
        set_current_call(call)
        try:
            if target.setup is not None:
                target.setup(ctx.proc)
        except Exception as error:
            problems.append(f"setup_fnc raised {_named(error)}: no job process would be ready")
        if not problems:
            work = _call_factory(target, call, started) if target.factory else _run_entrypoint(target, ctx, started)
            problems += await work
    if not started:
        return Findings(target.path, target.form.value, tier.name, hooks=_hooks(target, None), problems=tuple(problems))
    session, agent, options = started[0]
    return Findings(
        target=target.path,
        form=target.form.value,
        tier=tier.name,
        reached=True,
        stages={name: _stage(name, session, agent, tier) for name in STAGES},
        turns=_turns(session, agent, tier),
        agent=type(agent).__name__,
        hooks=_hooks(target, agent),
        moves={kind.__qualname__: how_it_moves(kind, type(agent)) for kind in classes_of_the_team()},
        notes=(*_notes(target, options, tier), *_missing(session, agent, tier)),
        problems=tuple(problems),
    )


async def _call_factory(target: Target, call: CallContext, started: list[Any]) -> list[str]:
    assert target.factory is not None
    try:
        made = target.factory(call)
        async with asyncio.timeout(START_LIMIT_S):
            made = await made if inspect.isawaitable(made) else made
        agent, session_options, _ = (*made, None, None)[:3] if isinstance(made, tuple) else (made, None, None)
        if not isinstance(agent, Agent):
            return [f"the factory returned a {type(agent).__name__}, which is no Agent"]
        session = AgentSession[Any](**session_options) if session_options else None
    except TimeoutError:
        return [f"the factory did not return within {START_LIMIT_S:.0f} s"]
    except Exception as error:
        return [f"the factory raised {_named(error)}"]
    started.append((session, agent, {}))
    return []


async def _run_entrypoint(target: Target, ctx: JobContext, started: list[Any]) -> list[str]:
    """Run it until it starts a session; why it did not, if so."""
    assert target.entrypoint is not None

    async def start(session: AgentSession[Any], agent: Agent, **options: Any) -> Any:
        started.append((session, agent, options))
        raise _Reached

    AgentSession.start = start  # type: ignore[method-assign, assignment]

    async def run() -> None:
        assert target.entrypoint is not None
        try:
            await target.entrypoint(ctx)
        except _Reached:
            return

    try:
        async with asyncio.timeout(START_LIMIT_S):
            await run()
    except TimeoutError:
        return [] if started else [f"the entrypoint started no session within {START_LIMIT_S:.0f} s"]
    except Exception as error:
        return [] if started else [f"the entrypoint raised {_named(error)} before its session started"]
    return [] if started else ["the entrypoint returned without starting a session"]


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _stage(name: str, session: AgentSession[Any] | None, agent: Agent, tier: ReadyTier) -> Stage:
    """Whose provider serves calls: an agent's own comes before the session's, and the tier's replaces the session's."""
    own = getattr(agent, name)
    of_agent = own if hasattr(own, "label") or (name == "vad" and hasattr(own, "stream")) else None
    of_session = getattr(session, name) if session is not None else None
    team = provider_name(of_agent or of_session)
    limit_s = None if name == "vad" or isinstance(of_agent or of_session, llm.RealtimeModel) else LONE_TIMEOUT_S
    if of_agent is not None:
        return Stage(team, team, "team", limit_s)
    if name in tier.stages:
        stage = tier.stages[name]
        return Stage(team, stage.cls.__name__, "tier", stage.limit_s)
    if name == "vad" and (session is None or "vad" in tier.tier.model_fields_set):
        return Stage(team, inference.VAD.__name__, "tier")
    if of_session is None:
        return Stage()
    return Stage(team, team, "team", limit_s)


def provider_name(provider: Any) -> str:
    """A provider in a word or two."""
    if provider is None:
        return ""
    model = str(getattr(provider, "model", "") or "")
    kind = type(provider).__name__
    return f"{kind} ({model})" if model and model != "unknown" else kind


def _turns(session: AgentSession[Any] | None, agent: Agent, tier: ReadyTier) -> str:
    own = agent.turn_detection
    if isinstance(own, str) or hasattr(own, "model"):
        return f"by the agent's own: {_detector(own)}"
    if session is None or "turn_detection" in tier.tier.model_fields_set:
        return f"by the tier: {_detector(tier.tier.turn_detection)}"
    if _turns_are_the_models(session, agent):
        return "by the realtime model, unless the session says otherwise"
    return f"by the agent's session: {_detector(session.turn_detection)}"


def _turns_are_the_models(session: AgentSession[Any], agent: Agent) -> bool:
    models = [model for model in (agent.llm, session.llm) if isinstance(model, llm.RealtimeModel)]
    return bool(models) and models[0].capabilities.turn_detection and not isinstance(session.turn_detection, str)


def _detector(detector: Any) -> str:
    if detector is None or isinstance(detector, str):
        return detector or "livekit's choice (voice activity, and a turn detector where there is one)"
    return provider_name(detector)


def _hooks(target: Target, agent: Agent | None) -> dict[str, bool]:
    found = {
        "setup_fnc": target.setup is not None,
        "on_request": target.on_request is not None,
        "on_session_end": target.on_session_end is not None,
    }
    hooks = found if target.factory is None else {}
    if agent is not None:
        hooks["on_enter"] = type(agent).on_enter is not Agent.on_enter
        for name in ("on_resume", "on_call_end"):
            hooks[name] = callable(getattr(agent, name, None))
    return hooks


def _notes(target: Target, options: dict[str, Any], tier: ReadyTier) -> list[str]:
    notes = []
    if target.agent_name:
        notes.append(
            f"the name {target.agent_name!r} of rtc_session is the fleet's to give: --agent-name {target.agent_name}"
        )
    if not tier.tier.text_input:
        notes.append("text from participants (lk.chat) is ignored: the tier's text_input names nobody")
    if not tier.tier.session_host:
        notes.append("nobody may drive the session by remote (lk.agent.session): the tier's session_host names nobody")
    given = [name for name in ("room_options", "room_input_options", "room_output_options") if options.get(name)]
    notes += [f"{name} of the agent are kept, but for text input" for name in given]
    return notes


def _missing(session: AgentSession[Any] | None, agent: Agent, tier: ReadyTier) -> list[str]:
    """Stages without which the first agent cannot do its part."""
    there = {name: _stage(name, session, agent, tier).whose != "none" for name in STAGES}
    models = [agent.llm, session.llm if session is not None else None]
    if any(isinstance(model, llm.RealtimeModel) for model in models):
        return []
    lacks = {"stt": "hears nobody", "llm": "answers nothing", "tts": "has no voice"}
    return [f"no {name}: the first agent {what}" for name, what in lacks.items() if not there[name]]


if __name__ == "__main__":
    # What some plugins ask for as soon as they are made. Nothing is connected.
    for _name, _value in (
        ("LIVEKIT_URL", "ws://127.0.0.1:9"),
        ("LIVEKIT_API_KEY", "check"),
        ("LIVEKIT_API_SECRET", "check-" * 6),
    ):
        os.environ.setdefault(_name, _value)  # noqa: TID251
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), any_variable="--any-variable" in sys.argv[4:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads and tasks of the team's code are not waited for.
    os._exit(0)

"""A scenario on a real livekit-server: callers with habits, against an agent of known delays."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from support.echo_agent import EchoAgent, token
from support.terminal import terminal
from voicefleet.callers.engines import Engine
from voicefleet.callers.swarm import PlaceElsewhere
from voicefleet.contract.api import CallTicket
from voicefleet.contract.errors import UsageError
from voicefleet.loadtest.metrics import serving
from voicefleet.loadtest.result import build_result
from voicefleet.loadtest.run import run_scenario
from voicefleet.loadtest.scenario import Scenario
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

SPEECH_S = 1.8
"""Short enough that it is over before the reply to the question that is said over it."""


class Source:
    """Each call in a room of its own, with an agent there that does not let itself be interrupted."""

    field, address, sends_agents, read_call = "--livekit-url", "test", True, None
    elsewhere: PlaceElsewhere | None = None
    refusal: UsageError | None = None

    def __init__(self, livekit: LiveKit, agents: AsyncExitStack) -> None:
        self._livekit, self._agents = livekit, agents

    async def place(self, call: int, patience_s: float) -> CallTicket:
        keys, room = (self._livekit.api_key, self._livekit.api_secret), f"habits-{uuid4().hex[:8]}"
        jwt = token(*keys, room, "agent", agent=True)
        agent = EchoAgent(self._livekit.url, jwt, speech_s=SPEECH_S, delay_s=0.4)
        await agent.start()
        self._agents.push_async_callback(agent.aclose)
        return CallTicket(url=self._livekit.url, token=token(*keys, room, "caller", agent=False), room=room, region="t")


@pytest.mark.usefixtures("caller_program")
@pytest.mark.parametrize("engine", list(Engine))
async def test_callers_barge_in_and_hang_up_and_the_figures_tell_of_it(
    livekit: LiveKit, tmp_path: Path, engine: Engine
) -> None:
    scenario = Scenario.model_validate(
        {
            "arrivals": {"shape": "constant", "rate": 2, "calls": 2},
            "callers": {
                "turns": 2,
                "barge_in": {"share": 1.0, "after_s": 1.0},
                "hang_up": {"share": 1.0, "after_s": 14.0},
                "noise_snr_db": 30,
                "dtmf": {"digits": "12#"},
            },
        }
    )
    offsets = [float(t) for t in scenario.arrivals.offsets(scenario.seed)]
    async with AsyncExitStack() as agents, serving(None) as measures:
        source = Source(livekit, agents)
        run = await run_scenario(
            scenario, offsets, source, console=terminal(), measures=measures, title="test", engine=engine
        )
    result = build_result(run.outcomes, run.health, run.wall_s, engine=run.engine)
    (tmp_path / "r.json").write_text(json.dumps(result))
    assert len(run.outcomes) == 2
    for call in run.outcomes:
        assert call.ended_by in ("done", "hangup"), call
        first, second = call.turns[:2]
        assert (first.barge_in, second.barge_in) == (False, True), call
        # It spoke on for what was left of its words, its voice a bit later at the caller's ear than at its mouth.
        assert second.stop_s == pytest.approx(SPEECH_S - 1.0, abs=0.45)
    assert result["figures"]["stop_p50"] == pytest.approx(SPEECH_S - 1.0, abs=0.45)

"""What voicefleet is measured against: livekit-agents alone, written as its documentation writes it.

``python -m bench.bare_worker AGENT_NAME tuned|defaults IDLE``. "tuned" has the providers, the voice activity detector
and the turn taking of `tiers.yaml`, "defaults" leaves out whatever has a default. Nothing of `voicefleet.worker` is
imported; a unit test holds the settings equal to those that voicefleet builds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import Any

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobProcess, inference
from livekit.agents.voice.turn import TurnHandlingOptions

from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS

MODE_VARIABLE = "BENCH_BARE_MODE"
INSTRUCTIONS = "You are a friendly assistant on the phone. Answer in one short sentence."
GREETING = "Hello, how can I help you?"

STT_ARGS: dict[str, Any] = {"latency_s": 0.02}
LLM_ARGS: dict[str, Any] = {"ttft_s": 0.05, "replies": ["Yes, we are open."]}
TTS_ARGS: dict[str, Any] = {"ttfb_s": 0.02}
VAD_ARGS: dict[str, Any] = {"min_silence_duration": 0.2, "min_speech_duration": 0.05, "activation_threshold": 0.5}
TURN_HANDLING: TurnHandlingOptions = {
    "turn_detection": "vad",
    "endpointing": {"mode": "fixed", "min_delay": 0.05, "max_delay": 1.0},
    "interruption": {"mode": "vad", "enabled": True, "min_duration": 0.5, "min_words": 0},
    "preemptive_generation": {"enabled": True, "preemptive_tts": False, "max_retries": 3},
}


class Assistant(Agent):
    """Greets, then answers, as voicefleet's default agent does."""

    def __init__(self) -> None:
        super().__init__(instructions=INSTRUCTIONS)

    async def on_enter(self) -> None:
        self.session.say(GREETING)


def prewarm(proc: JobProcess) -> None:
    """Load the detector before a call comes."""
    proc.userdata["vad"] = inference.VAD(**VAD_ARGS) if os.environ[MODE_VARIABLE] == "tuned" else None


async def entrypoint(ctx: JobContext) -> None:
    """Serve one call."""
    stages: dict[str, Any] = {
        "stt": SyntheticSTT(**STT_ARGS),
        "llm": SyntheticLLM(**LLM_ARGS),
        "tts": SyntheticTTS(**TTS_ARGS),
    }
    session: AgentSession[None]
    if os.environ[MODE_VARIABLE] == "tuned":
        session = AgentSession(
            **stages,
            vad=ctx.proc.userdata["vad"],
            turn_handling=TURN_HANDLING,
            aec_warmup_duration=None,
            user_away_timeout=None,
        )
    else:
        session = AgentSession(**stages)
    await ctx.connect()
    await session.start(Assistant(), room=ctx.room)


def no_load(_: AgentServer) -> float:
    """Never full: the default load is the machine's, and a busy neighbour would make the worker refuse calls."""
    return 0.0


async def serve(agent_name: str, idle: int) -> None:
    """Serve calls until SIGTERM."""
    server = AgentServer(setup_fnc=prewarm, num_idle_processes=idle, load_fnc=no_load, host="127.0.0.1", port=0)
    server.rtc_session(entrypoint, agent_name=agent_name)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    serving = asyncio.create_task(server.run())
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    await server.aclose()
    await serving


def main() -> None:
    """Run the worker that the command line describes."""
    agent_name, mode, idle = sys.argv[1:]
    if mode not in ("tuned", "defaults"):
        raise SystemExit(f"unknown mode {mode}")
    os.environ[MODE_VARIABLE] = mode
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(serve(agent_name, int(idle)))


if __name__ == "__main__":
    main()

"""The bare worker's agent as a team's file, in the two forms of TARGET in which the team builds the session itself."""

from __future__ import annotations

from bench import bare_worker
from livekit.agents import AgentServer, JobContext

server = AgentServer(setup_fnc=bare_worker.prewarm)
server.rtc_session(bare_worker.entrypoint)


async def entrypoint(ctx: JobContext) -> None:
    """Without a server nothing is loaded before a call comes."""
    bare_worker.prewarm(ctx.proc)
    await bare_worker.entrypoint(ctx)

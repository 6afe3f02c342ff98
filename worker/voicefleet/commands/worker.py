"""`voicefleet worker`: its options."""

from __future__ import annotations

from typing import Annotated

import typer


def worker(
    agent: Annotated[str | None, typer.Option(help="Your agent, module:name or file.py:name.")] = None,
    tiers: Annotated[str | None, typer.Option(help="Tiers file, or a built-in: local, synthetic, own.")] = None,
    region: Annotated[str | None, typer.Option(help="Region this worker serves.")] = None,
    agent_name: Annotated[str | None, typer.Option(help="Name that dispatches ask for.")] = None,
    worker_id: Annotated[str | None, typer.Option("--id", help="This worker's name; generated when left out.")] = None,
    slots: Annotated[int | None, typer.Option(help="Calls served at once.")] = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT of the probes and metrics; 0: a free port.")] = None,
    livekit_url: Annotated[str | None, typer.Option(help="LiveKit's address, ws:// or wss://.")] = None,
    log_level: Annotated[str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = None,
) -> None:
    """Serve calls with your agent. Secrets come from the environment: LIVEKIT_API_SECRET, VOICEFLEET_REDIS_URL."""
    from voicefleet.runtime.logs.setup import configure_logs
    from voicefleet.worker.server.settings import load_settings

    settings = load_settings(
        {
            "agent": agent,
            "tiers": tiers,
            "region": region,
            "agent_name": agent_name,
            "worker_id": worker_id,
            "slots": slots,
            "listen": listen,
            "livekit_url": livekit_url,
            "log_level": log_level,
        }
    )
    configure_logs(
        settings.log_level,
        settings.log_format,
        personal_data=settings.log_personal_data,
        worker=settings.worker_id,
        region=settings.region,
    )
    from voicefleet.worker.server.launch import launch

    launch(settings)

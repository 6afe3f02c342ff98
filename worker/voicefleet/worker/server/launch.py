"""Starts a worker fast: everything heavy is imported once, then the fork server is forked from this process.

Nothing heavy is imported at the top of this module, so that a wrong setting is reported at once.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from voicefleet.local.settings import MODEL_SOCKET_VARIABLE
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.http.server import parse_listen
from voicefleet.runtime.tracing import check_endpoint
from voicefleet.worker.agent_path import make_importable
from voicefleet.worker.conversation.transcript import build_cipher
from voicefleet.worker.server.forkserver import start_by_fork
from voicefleet.worker.server.preload import preload
from voicefleet.worker.server.settings import DEFAULT_AGENT, WorkerSettings, environment, export_for_jobs
from voicefleet.worker.tiers.load import read_tiers, resolve_tiers


def launch(settings: WorkerSettings) -> None:
    """Check everything that can be checked, then serve calls until SIGTERM and the last call's end.

    Raises:
        UsageError: with the field or address that is wrong, and the way out; nothing is left running.
    """
    parse_listen(settings.listen, field="--listen")
    check_endpoint(settings.otlp_endpoint)
    # Before the fork server starts: with a key, job processes find the cipher imported.
    build_cipher(settings.transcript_key.get_secret_value())
    # Without tiers it is the agent that decides, and a team's module is imported only after the fork.
    named = settings.tiers or ("local" if settings.agent == DEFAULT_AGENT else "")
    file = read_tiers(named) if named else None
    with tempfile.TemporaryDirectory(prefix="voicefleet-") as directory:
        model_socket = Path(directory) / "models"
        settings = settings.model_copy(update={"job_socket": str(Path(directory) / "jobs")})
        # Job processes inherit the environment and the imports as they are when the fork server starts.
        export_for_jobs(settings, {MODEL_SOCKET_VARIABLE: str(model_socket)})
        named_detectors = {tier.turn_detection for tier in file.tiers.values()} if file is not None else set()
        preload(turn_detector="v1-mini" in named_detectors)
        # After our own imports, which a module of the team's with the same name must not stand in for.
        make_importable(settings.agent)
        tiers = resolve_tiers(file, environment()) if file is not None else None
        start_by_fork()
        from voicefleet.worker.job.target import load_target
        from voicefleet.worker.server.service import Worker

        target = load_target(settings.agent)
        if tiers is None:
            tiers = resolve_tiers(read_tiers(target.default_tiers), environment())
        asyncio.run(Worker(settings, tiers, target, model_socket, SystemClock()).run())

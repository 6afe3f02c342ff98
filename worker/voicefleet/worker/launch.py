"""Starts a worker fast: the fork server imports beside the main process instead of after it.

Nothing heavy is imported at the top of this module: `livekit.agents` alone takes more than a second, once in the main
process and once in the fork server that all job processes come from.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.forkserver
import tempfile
from pathlib import Path

from voicefleet.local.settings import MODEL_SOCKET_VARIABLE
from voicefleet.runtime.http import parse_listen
from voicefleet.worker.settings import WorkerSettings, export_for_jobs
from voicefleet.worker.tiers.load import read_tiers
from voicefleet.worker.tiers.schema import TiersFile


def launch(settings: WorkerSettings) -> None:
    """Check everything that can be checked, then serve calls until SIGTERM and the last call's end.

    Raises:
        UsageError: with the field or address that is wrong, and the way out; nothing is left running.
    """
    parse_listen(settings.listen, field="--listen")
    tiers = read_tiers(settings.tiers)
    with tempfile.TemporaryDirectory(prefix="voicefleet-") as directory:
        model_socket = Path(directory) / "models"
        settings = settings.model_copy(update={"job_socket": str(Path(directory) / "jobs")})
        export_for_jobs(settings, {MODEL_SOCKET_VARIABLE: str(model_socket)})
        _start_fork_server(tiers)
        from voicefleet.worker.server import serve

        asyncio.run(serve(settings, tiers, model_socket))


def _start_fork_server(tiers: TiersFile) -> None:
    """Job processes inherit the environment as it is now, and whatever is imported here."""
    plugins = {p.plugin.partition(":")[0] for t in tiers.tiers.values() for p in t.stages().values()}
    context = multiprocessing.get_context("forkserver")
    # livekit-agents sets this list too, but a server that runs already keeps its own; its last entry must be last.
    context.set_forkserver_preload(
        [
            "livekit.agents.ipc._preload",
            "voicefleet.worker.preload",
            *sorted(plugins),
            "livekit.agents.ipc._preload_freeze",
        ]
    )
    multiprocessing.forkserver.ensure_running()

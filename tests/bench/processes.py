"""The processes beside a bench: played servers that say when they are ready, and the controller that is measured."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from bench.stand import Stand

from voicefleet.runtime.supervisor.children import Child
from voicefleet.runtime.supervisor.lifeline import lifeline

_TESTS = Path(__file__).parent.parent


@contextlib.asynccontextmanager
async def ready_process(
    argv: Sequence[str], *, given: bytes | None = None, limit_s: float = 30.0
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that has printed ``ready``; it is killed when the block ends.

    Args:
        given: its whole standard input; None: that stays open.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=_TESTS,
        limit=1 << 24,
        # Marks it as ours: it ends with us, and its CPU time is not taken for a stranger's.
        env={**os.environ, **lifeline().environment()},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if given is not None:
            process.stdin.write(given)
            process.stdin.close()
        if (await asyncio.wait_for(process.stdout.readline(), limit_s)).strip() != b"ready":
            raise RuntimeError(f"not ready: {' '.join(argv[1:])}, see above")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def measured_controller(
    on: Stand, name: str, settings: Mapping[str, Any], secret: str, python: Sequence[str] = (sys.executable, "-m")
) -> tuple[Child, Path, Path]:
    """The controller with a clock beside it (`bench.measured_controller`), not started yet.

    Args:
        settings: its file, without the address of Redis; a region's secret is in ``BENCH_SECRET``.
        python: runs the module whose name follows.

    Returns:
        the process, the file that says that it is ready, and the file that gets its samples.
    """
    file = on.directory / f"{name}.yaml"
    file.write_text(yaml.safe_dump({"redis_url_env": "BENCH_REDIS", "auth": "none", **settings}))
    ready, samples = (on.directory / f"{name}-{what}.json" for what in ("ready", "samples"))
    child = Child(
        name,
        [*python, "bench.measured_controller", str(file), str(ready), str(samples)],
        log_path=on.directory / f"{name}.log",
        stop_plan=((signal.SIGTERM, 30.0),),
        env={
            "BENCH_REDIS": on.redis.url,
            "BENCH_SECRET": secret,
            "PYTHONPATH": os.pathsep.join((str(_TESTS), *sys.path)),
        },
    )
    return child, ready, samples

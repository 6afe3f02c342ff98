"""``python -m bench.measured_controller SETTINGS READY OUT``: the real controller, and a clock beside it.

Its ticks are timed whole, from the first read to the last write, and so is the lateness of its event loop. SIGUSR1
begins the measurement anew; at the controller's end the samples go to OUT as JSON.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

import uvloop

from voicefleet.controller.app import run_controller
from voicefleet.controller.pool.reconciler import PoolReconciler
from voicefleet.controller.settings.load import load_settings
from voicefleet.runtime.logs.setup import configure_logs

PROBE_S = 0.02


async def measure(settings: Path, ready: Path, out: Path) -> None:
    """Run the controller until it is told to stop."""
    ticks_s: list[float] = []
    lags_s: list[float] = []
    plain = PoolReconciler.tick

    async def timed(self: PoolReconciler) -> None:
        began_s = time.monotonic()
        await plain(self)
        ticks_s.append(time.monotonic() - began_s)

    async def probe() -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + PROBE_S
            await asyncio.sleep(PROBE_S)
            lags_s.append(max(0.0, loop.time() - due_s))

    def begin() -> None:
        ticks_s.clear()
        lags_s.clear()

    PoolReconciler.tick = timed  # type: ignore[method-assign]
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, begin)
    probing = asyncio.create_task(probe())
    try:
        await run_controller(load_settings(settings), ready_file=ready)
    finally:
        probing.cancel()
        out.write_text(json.dumps({"ticks_s": ticks_s, "lags_s": lags_s}))


def main() -> None:
    """The command line."""
    settings, ready, out = map(Path, sys.argv[1:])
    configure_logs()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure(settings, ready, out))


if __name__ == "__main__":
    main()

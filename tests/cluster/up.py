"""A test cluster by hand: `PYTHONPATH=tests .venv/bin/python -m cluster.up --kubeconfig FILE [--node] [--images]`.

Starts it, writes the administrator's kubeconfig, and runs until Ctrl-C or SIGTERM; then nothing of it is left.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from cluster.control_plane import ControlPlane, control_plane
from cluster.images import images, stack_images
from cluster.whole import whole_cluster
from voicefleet.contract.errors import UsageError


def main() -> int:
    """Run a cluster until we are told to stop; 2 when it cannot be started."""
    parser = argparse.ArgumentParser(prog="python -m cluster.up", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True, help="file to write the kubeconfig to")
    parser.add_argument("--node", action="store_true", help="with a real node, which needs root")
    parser.add_argument("--images", action="store_true", help="with all our images on that node")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    started = time.monotonic()
    try:
        with _cluster(options.node or options.images, options.images) as plane:
            options.kubeconfig.touch(mode=0o600)
            options.kubeconfig.write_bytes(plane.kubeconfig.read_bytes())
            print(f"up after {time.monotonic() - started:.1f} s: export KUBECONFIG={options.kubeconfig}", flush=True)
            stop.wait()
    except UsageError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    finally:
        options.kubeconfig.unlink(missing_ok=True)
    return 0


@contextlib.contextmanager
def _cluster(node: bool, with_images: bool) -> Iterator[ControlPlane]:
    if not node:
        with control_plane() as plane:
            yield plane
        return
    with whole_cluster(images() if with_images else stack_images()) as cluster:
        yield cluster


if __name__ == "__main__":
    sys.exit(main())

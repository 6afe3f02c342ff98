"""A registry of images on this machine: Debian's `docker-registry`, with its content in a folder."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import yaml

from cluster.process import Daemons
from cluster.programs import find
from voicefleet.runtime.supervisor.ports import Ports

_READY_LIMIT_S = 20.0


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Run it for the block; gives its `HOST:PORT`, where it speaks HTTP.

    Raises:
        MissingPartError: it is not on this machine.
    """
    with Ports() as ports:
        address = f"127.0.0.1:{ports.tcp()}"
        config = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": str(folder / "content")}},
            "http": {"addr": address},
        }
        (folder / "registry.yaml").write_text(yaml.safe_dump(config))
        daemons = Daemons(folder)
        try:
            daemons.start("docker-registry", [find("docker-registry"), "serve", folder / "registry.yaml"])
            daemons.until(lambda: _answers(address), _READY_LIMIT_S, "the registry answers")
            yield address
        finally:
            daemons.stop_all()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/v2/", timeout=2.0) as answer:
            return int(answer.status) == 200
    except OSError:
        return False

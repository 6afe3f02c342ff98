"""The code of the last promised version, which a running fleet is upgraded from: `make previous` keeps it.

Names of Redis keys, stored values, reports and dispatch metadata are a promise from that version on. It is a file, not
a commit, because a checkout need not have the history.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ARCHIVE = Path(__file__).resolve().parents[1] / "upgrade" / "previous.tar.xz"
COMPONENTS = ("worker", "controller")


@dataclass(frozen=True)
class Program:
    """How to start `voicefleet`: the words before the command, and what the environment needs for it."""

    words: tuple[str, ...]
    env: Mapping[str, str]


CURRENT = Program((sys.executable, "-m", "voicefleet.cli.app"), {})


def previous(folder: Path) -> Program:
    """The last promised version, unpacked into `folder`. It shares our installed packages and none of our code."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    packages = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    path = [*(str(folder / component) for component in COMPONENTS), *sorted(packages)]
    # Without `site`, so that the editable installation of this tree is not on the path.
    return Program(
        (sys.executable, "-S", "-m", "voicefleet.cli.app"),
        {"PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"},
    )

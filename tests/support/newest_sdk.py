"""The newest livekit-agents 1.x that the registry has, beside the pinned one: what CI tries our private uses of it on.

It is put in a folder of the cache with all it depends on, which goes before the environment's own packages
(PYTHONPATH). Which registry is asked, pip's own settings say.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from voicefleet.stack.alone import alone
from voicefleet.stack.find import cache_directory

PACKAGE = "livekit-agents"
TREE = Path(__file__).resolve().parents[2]
_PIP = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:")


def pinned() -> str:
    """The version that voicefleet is pinned to and tested with."""
    return version(PACKAGE)


def newest() -> str:
    """The newest 1.x that the registry has.

    Raises:
        CalledProcessError, TimeoutExpired: the registry does not answer.
    """
    dry = (*_PIP, "--dry-run", "--ignore-installed", "--no-deps", "--report", "-", f"{PACKAGE}>=1,<2")
    answer = subprocess.run(dry, check=True, capture_output=True, timeout=120)
    (found,) = json.loads(answer.stdout)["install"]
    return str(found["metadata"]["version"])


def installed(wanted: str) -> Path:
    """The folder with that version, installed when it is not there yet."""
    folder = cache_directory() / "sdk" / wanted
    with alone(folder.parent / "lock", PACKAGE, print):
        if not folder.is_dir():
            half = folder.with_name(f".{wanted}")
            shutil.rmtree(half, ignore_errors=True)
            subprocess.run((*_PIP, "--target", str(half), f"{PACKAGE}=={wanted}"), check=True, timeout=900)
            half.replace(folder)
    return folder


def imported(folder: Path) -> str:
    """The version that Python takes with the packages of `folder` before the environment's own."""
    probe = "import livekit.agents; print(livekit.agents.__version__)"
    answer = subprocess.run(
        (sys.executable, "-c", probe), env=_with(folder), capture_output=True, text=True, timeout=120, check=True
    )
    return answer.stdout.strip()


def run_tests(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run our tests with the packages of `folder` before the environment's own."""
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)
    return subprocess.run(
        command, cwd=TREE, env=_with(folder), capture_output=True, text=True, timeout=900, check=False
    )


def _with(folder: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}

"""Where a team's modules are imported from: its agent, and the plugins of its own that its tiers name."""

from __future__ import annotations

import sys
from pathlib import Path


def place_of(target: str) -> tuple[Path, str]:
    """The folder in which the agent TARGET (``module:name``, ``file.py:name``) is looked for, and its module's name."""
    module_name = target.partition(":")[0]
    if not module_name.endswith(".py"):
        return Path.cwd(), module_name
    file = Path(module_name).resolve()
    return file.parent, file.stem


def make_importable(target: str) -> str:
    """Have modules beside the agent TARGET found by imports from now on.

    They are looked for in the file's folder, else in the working directory, before anywhere else: call it when what
    the platform itself needs is imported.

    Returns:
        The name of TARGET's own module.
    """
    place, module_name = place_of(target)
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))
    return module_name

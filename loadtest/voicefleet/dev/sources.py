"""Which files a team's agent consists of, as far as a reload is concerned."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

SUFFIXES = (".py", ".yaml", ".yml", ".json", ".txt", ".md")
"""Code, and what prompts and settings are kept in."""
_SKIPPED = frozenset({"__pycache__", "node_modules", "venv"})


def folder_of(target: str) -> Path:
    """The folder whose files are watched: that of the agent's file, or of its top-level package."""
    module = target.partition(":")[0]
    if module.endswith(".py"):
        return Path(module).resolve().parent
    top = module.partition(".")[0]
    here = Path.cwd() / top
    if here.is_dir():
        return here
    spec = find_spec(top)
    if spec is None or spec.origin is None:
        return Path.cwd()
    return Path(spec.origin).resolve().parent


def counts(path: Path, folder: Path) -> bool:
    """Whether a change of `path`, in `folder`, is one of the agent's."""
    try:
        parts = path.relative_to(folder).parts
    except ValueError:
        return False
    return path.suffix in SUFFIXES and not any(part in _SKIPPED or part.startswith(".") for part in parts)

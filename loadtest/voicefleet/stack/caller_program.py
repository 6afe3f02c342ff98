"""Where `voicefleet-caller` is, the Go program that holds the calls of `voicefleet loadtest`. Finding only looks."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from voicefleet.contract.errors import MissingPartError
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack.find import Found, cache_directory

NAME = "voicefleet-caller"
CALLER_VARIABLE = "VOICEFLEET_CALLER"
SOURCES = Path(__file__).resolve().parents[2] / "caller"
"""In a checkout; an installed package has no sources, and an image has the program in PATH."""

CALLER_WAYS = (
    "Run `make setup` in a checkout with Go 1.26 or newer, which builds it, or name one in "
    f"{CALLER_VARIABLE}, or use the load test's image, or --engine python."
)


def cached_caller(env: Mapping[str, str] | None = None) -> Path | None:
    """Where set-up builds it to; what it is built from stands in the path, so an old build is never taken for it. None
    without its sources."""
    files = sorted(file for file in SOURCES.glob("*") if file.suffix in (".go", ".mod", ".sum"))
    if not files:
        return None
    digest = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()
    return cache_directory(env) / "caller" / digest[:16] / NAME


def find_caller(env: Mapping[str, str] | None = None) -> Found:
    """Look in `VOICEFLEET_CALLER`, then PATH, then our cache.

    Raises:
        MissingPartError: it is nowhere, or the variable names something that cannot be run.
    """
    env = environment() if env is None else env
    if named := env.get(CALLER_VARIABLE):
        if not os.access(named, os.X_OK) or Path(named).is_dir():
            raise MissingPartError(
                "this is no program",
                field=CALLER_VARIABLE,
                value=named,
                hint=f"Name the file of a {NAME}, or unset it.",
            )
        return Found(Path(named), CALLER_VARIABLE, "own")
    if on_path := shutil.which(NAME, path=env.get("PATH", "")):
        return Found(Path(on_path), "PATH", "own")
    cached = cached_caller(env)
    if cached is not None and os.access(cached, os.X_OK):
        return Found(cached, "the cache", cached.parent.name)
    raise MissingPartError(f"{NAME} is neither in PATH nor built", field=NAME, hint=CALLER_WAYS)

"""A node's store of images, kept in the cache: unpacking a gigabyte takes longer than all other steps of a start.

The store is containerd's folder at rest. Files of images never change, so a copy has hard links to them, and takes a
second; containerd's databases are copied. A store that cannot be linked to (another file system) is simply not kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cluster.install import say
from voicefleet.stack.alone import alone
from voicefleet.stack.find import cache_directory

_LOADED = "loaded.json"


def restore(folder: Path) -> dict[str, str]:
    """Put the kept store at `folder`, which must not exist.

    Returns:
        Names of the images in it -> the archive that each was loaded from; empty when no store is kept.
    """
    kept = _kept()
    loaded: dict[str, str] = {}
    kept.parent.mkdir(parents=True, exist_ok=True)
    with alone(kept.with_suffix(".lock"), "the store of images", say):
        if kept.exists():
            try:
                _copy(kept, folder)
                loaded = json.loads((folder / _LOADED).read_text())
            except OSError:
                shutil.rmtree(folder, ignore_errors=True)
    return loaded


def keep(folder: Path, loaded: Mapping[str, str]) -> None:
    """Keep a store, of which nothing may be in use now, for the next cluster."""
    kept = _kept()
    with alone(kept.with_suffix(".lock"), "the store of images", say):
        try:
            work = Path(tempfile.mkdtemp(dir=kept.parent, prefix=".store-"))
            _copy(folder, work / "new")
            (work / "new" / _LOADED).unlink(missing_ok=True)
            (work / "new" / _LOADED).write_text(json.dumps(dict(loaded)))
            if kept.exists():
                kept.replace(work / "old")
            (work / "new").replace(kept)
        except OSError:
            pass
        finally:
            with contextlib.suppress(OSError, UnboundLocalError):
                shutil.rmtree(work)


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, copy_function=_link_or_copy)
    # copytree keeps no owners, which the folders of an image need.
    for folder, _, _ in os.walk(source):
        found = os.lstat(folder)
        os.chown(target / Path(folder).relative_to(source), found.st_uid, found.st_gid)


def _link_or_copy(source: str, target: str) -> None:
    if source.endswith(".db"):
        shutil.copy2(source, target)
    else:
        os.link(source, target, follow_symlinks=False)


def _kept() -> Path:
    return cache_directory() / "cluster" / "store"

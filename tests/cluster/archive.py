"""Small images made without a builder: a folder, or a program with its libraries, as a `docker save` archive."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.programs import find
from voicefleet.contract.errors import UsageError

NOBODY = "65532:65532"
_LIBRARY = re.compile(r"(?:=>\s*)?(/\S+) \(0x")


@dataclass(frozen=True)
class Image:
    """An image that a node can load."""

    name: str
    archive: Path


@dataclass(frozen=True)
class Start:
    """What an image runs.

    Args:
        entrypoint: the program, which arguments are added to.
        command: arguments when there are none.
    """

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    user: str = NOBODY


def program_archive(target: Path, name: str, programs: Mapping[str, Path], start: Start) -> Path:
    """An image of programs of this machine with the libraries they need, and a busybox for a shell.

    Args:
        programs: path in the image -> file here.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".image-") as work:
        root = Path(work)
        for folder in ("bin", "tmp", "data"):
            (root / folder).mkdir(mode=0o1777 if folder != "bin" else 0o755)
            (root / folder).chmod(0o1777 if folder != "bin" else 0o755)
        shutil.copy(find("busybox"), root / "bin/busybox")
        for applet in ("sh", "sleep", "cat", "echo", "wget", "nslookup", "nc"):
            (root / "bin" / applet).symlink_to("busybox")
        for inside, file in programs.items():
            for source, place in ((file, Path(inside)), *((library, library) for library in _libraries(file))):
                copy = root / place.relative_to("/")
                copy.parent.mkdir(parents=True, exist_ok=True)
                if not copy.exists():
                    shutil.copy(source, copy)
        return pack(target, root, name, start)


def pack(target: Path, root: Path, name: str, start: Start) -> Path:
    """Pack a folder into an image of one layer."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".image-") as folder:
        work = Path(folder)
        layer, config, manifest = work / "layer.tar", work / "config.json", work / "manifest.json"
        with tarfile.open(layer, "w") as tar:
            tar.add(root, arcname=".", filter=_owned_by_root)
        with layer.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        config.write_text(json.dumps(_config(digest, start)))
        entry = {"Config": config.name, "RepoTags": [name], "Layers": [layer.name]}
        manifest.write_text(json.dumps([entry]))
        packed = work / "packed"
        with tarfile.open(packed, "w") as tar:
            for part in (manifest, config, layer):
                tar.add(part, part.name)
        packed.replace(target)
    return target


def _config(layer: str, start: Start) -> dict[str, Any]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": list(start.entrypoint),
            "Cmd": list(start.command),
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"],
            "User": start.user,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
        "history": [{"created_by": "voicefleet's cluster tests"}],
    }


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = 0
    return entry


def _libraries(program: Path) -> list[Path]:
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    if "not a dynamic executable" in done.stdout + done.stderr or "statically linked" in done.stdout:
        return []
    if done.returncode != 0:
        raise UsageError(
            f"its libraries cannot be found: {done.stderr.strip()}", field=str(program), hint="Check the program."
        )
    return [Path(match[1]) for match in _LIBRARY.finditer(done.stdout)]

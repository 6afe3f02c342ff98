"""Kinds of operators (CustomResourceDefinitions), so that an API server checks each field of our documents.

They are files of the modules as which the operators are released; `tests/tools/kinds` pins versions and checksums.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from cluster.programs import INSTALL, TOOLS, content
from voicefleet.contract.errors import MissingPartError, UsageError
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack.find import cache_directory, find_go

MODULE = TOOLS / "kinds"
FILES = {
    "github.com/external-secrets/external-secrets": (
        "config/crds/bases/external-secrets.io_clustersecretstores.yaml",
        "config/crds/bases/external-secrets.io_externalsecrets.yaml",
    ),
    "github.com/argoproj/argo-cd/v3": (
        "manifests/crds/application-crd.yaml",
        "manifests/crds/appproject-crd.yaml",
    ),
}
"""Module -> its files that we use."""

_DOWNLOAD_LIMIT_S = 300.0


def versions() -> dict[str, str]:
    """Module -> the version that is pinned, with its `v`."""
    pinned = dict(re.findall(r"^\s*(\S+) (v[\d.]+)$", (MODULE / "go.mod").read_text(), re.MULTILINE))
    return {module: pinned[module] for module in FILES}


def kinds(module: str) -> list[Path]:
    """The definitions of a module.

    Raises:
        MissingPartError: they are not in the cache.
    """
    found = [_folder() / Path(file).name for file in FILES[module]]
    if not all(file.is_file() for file in found):
        raise MissingPartError("its kinds are not in the cache", field=module, hint=f"{INSTALL}.")
    return found


def install_kinds() -> None:
    """Put them into the cache, if they are not there.

    Raises:
        MissingPartError: there is no Go, which fetches modules and checks them.
        UsageError: a module could not be had, or is not the one that go.sum names.
    """
    if all((_folder() / Path(file).name).is_file() for files in FILES.values() for file in files):
        return
    go = find_go()
    if go is None:
        raise MissingPartError("no Go 1.26 or newer in PATH", field="go", hint="Install it from go.dev.")
    _folder().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_folder().parent, prefix=".kinds-") as work:
        for module, version in versions().items():
            unpacked = _download(go.path, f"{module}@{version}")
            for file in FILES[module]:
                shutil.copyfile(unpacked / file, Path(work) / Path(file).name)
        shutil.copytree(work, _folder(), dirs_exist_ok=True)


def _download(go: Path, module: str) -> Path:
    done = subprocess.run(
        [go, "mod", "download", "-json", module],
        cwd=MODULE,
        env={**environment(), "GOWORK": "off", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        timeout=_DOWNLOAD_LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise UsageError(f"go cannot get it: {done.stdout}{done.stderr}", field=module, hint="Mend what it says.")
    return Path(json.loads(done.stdout)["Dir"])


def _folder() -> Path:
    return cache_directory() / "cluster" / f"kinds-{content(MODULE)}"

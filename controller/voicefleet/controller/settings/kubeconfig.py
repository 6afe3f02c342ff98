"""What a kubeconfig says of its contexts, as far as the settings must know it: which there are, and whose servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from voicefleet.contract.parsing.validation import nearest, refused
from voicefleet.controller.settings.kubernetes import ClusterAccess

_VARIABLE = "KUBECONFIG"


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """Context -> the address of its cluster's API server; and the context that holds where none is named."""

    servers: Mapping[str, str]
    current: str


def read_kubeconfig(access: ClusterAccess, environment: Mapping[str, str]) -> Kubeconfig | None:
    """The file that `access` uses. None: as a pod, or it is not there, or cannot be read (yet): its region is then
    unknown while the controller runs, until it is mended."""
    if access.kubeconfig is None and access.context is None:
        return None
    if access.kubeconfig is not None:
        paths = [access.kubeconfig]
    else:
        home = environment.get("HOME", "")
        paths = [Path(part) for part in environment.get(_VARIABLE, "").split(":") if part]
        paths = paths or [Path(home) / ".kube" / "config"]
    try:
        files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]
        servers: dict[str, str] = {}
        current = ""
        for file in files:
            clusters = {part["name"]: str(part["cluster"].get("server", "")) for part in file.get("clusters") or ()}
            for part in file.get("contexts") or ():
                servers.setdefault(str(part["name"]), clusters.get(part["context"].get("cluster"), ""))
            current = current or str(file.get("current-context") or "")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return None
    return Kubeconfig(servers, current) if files else None


def cluster_of(access: ClusterAccess, environment: Mapping[str, str], *, field: str) -> Any:
    """What is the same for two accesses to one cluster, as far as files tell.

    Raises:
        PydanticCustomError: the kubeconfig is there and has no such context; `field` is the access's path.
    """
    found = read_kubeconfig(access, environment)
    if found is None:
        return access
    if access.context is not None and access.context not in found.servers:
        raise refused(
            "the kubeconfig has no such context",
            field=f"{field}.context",
            value=access.context,
            hint=nearest(access.context, found.servers),
        )
    return found.servers.get(access.context or found.current) or access

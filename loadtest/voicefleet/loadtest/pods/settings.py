"""What the environment says of the access to Kubernetes."""

from __future__ import annotations

import os
from pathlib import Path


def kubeconfigs() -> list[Path]:
    """The files that kubectl would read, whether they are there or not."""
    given = os.environ.get("KUBECONFIG", "")
    return [Path(path) for path in given.split(os.pathsep) if path] or [Path.home() / ".kube" / "config"]


def runs_in_cluster() -> bool:
    """Whether this is a pod, and nobody has given it a kubeconfig."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and not any(path.is_file() for path in kubeconfigs())

"""What the environment says of the access to Kubernetes."""

from __future__ import annotations

import os
from pathlib import Path


def runs_in_cluster() -> bool:
    """Whether this is a pod, and nobody has given it a kubeconfig."""
    given = "KUBECONFIG" in os.environ or (Path.home() / ".kube" / "config").is_file()
    return not given and bool(os.environ.get("KUBERNETES_SERVICE_HOST"))

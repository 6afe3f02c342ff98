"""Plays the External Secrets Operator: makes the Secrets that ExternalSecrets ask for; a folder is the store.

The kinds are the operator's own, with their schemas. Of their fields it knows those that the walkthrough uses, and
refuses others, so that nothing is passed over in silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

from cluster.kube import CommandError, Kube

_LOOK_S = 0.5
_KNOWN = {"refreshInterval", "refreshPolicy", "secretStoreRef", "target", "dataFrom"}
"""`refreshPolicy` is the API server's default."""


async def secrets_operator(kube: Kube, vault: Path) -> None:
    """Look again and again."""
    while True:
        with contextlib.suppress(CommandError):  # the kinds, or a namespace, come and go
            await asyncio.to_thread(_look, kube, vault)
        await asyncio.sleep(_LOOK_S)


def _look(kube: Kube, vault: Path) -> None:
    stores = {store["metadata"]["name"] for store in kube.items("clustersecretstores")}
    for found in kube.items("externalsecrets", "-A"):
        spec, meta = found["spec"], found["metadata"]
        assert spec.keys() <= _KNOWN, f"fields that the stand-in does not know: {spec.keys() - _KNOWN}"
        if spec["secretStoreRef"]["name"] not in stores:
            continue
        values: dict[str, str] = {}
        for source in spec["dataFrom"]:
            values |= json.loads((vault / source["extract"]["key"]).read_text())
        _put(kube, found, values)
        since = meta["creationTimestamp"]
        ready = {"type": "Ready", "status": "True", "reason": "SecretSynced", "lastTransitionTime": since}
        patch = json.dumps({"status": {"conditions": [ready]}})
        if found.get("status", {}).get("conditions") != [ready]:
            kube.kubectl(
                *("patch", "externalsecret", meta["name"], "-n", meta["namespace"], "--subresource=status"),
                *("--type=merge", "-p", patch),
            )


def _put(kube: Kube, owner: dict[str, Any], values: dict[str, str]) -> None:
    meta = owner["metadata"]
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": owner["spec"]["target"]["name"],
            "namespace": meta["namespace"],
            "ownerReferences": [{**reference, "controller": True, "blockOwnerDeletion": True}],
        },
        "stringData": values,
    }
    kube.kubectl("apply", "--server-side", "--field-manager=external-secrets", "-f", "-", stdin=json.dumps(secret))

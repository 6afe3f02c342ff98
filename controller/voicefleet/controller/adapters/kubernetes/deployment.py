"""Reads the manifests of a Deployment and of its events. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

OWNER_ANNOTATION = "voicefleet.dev/controller"
_NEWS_S = 900.0

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Deployment:
    """One Deployment."""

    name: str
    uid: str
    replicas: int
    version: int
    """Grows with every change of the object."""
    owner: str
    """Whose controller may write to it; empty: nobody's."""
    selector: str
    """Finds its pods."""
    total: int
    updated: int
    """Pods of any, and of the newest template."""
    stalled: bool
    """The rollout makes no progress, and Kubernetes has given up waiting for it."""


@dataclass(frozen=True, slots=True)
class KubeEvent:
    """An event about a pod or ReplicaSet of a Deployment."""

    subject: str
    """Name of the object it is about."""
    reason: str
    message: str
    at_s: float


def read_deployment(manifest: Manifest) -> Deployment:
    metadata, spec, status = manifest["metadata"], manifest["spec"], manifest.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    progress = conditions.get("Progressing", {})
    return Deployment(
        name=metadata["name"],
        uid=metadata["uid"],
        replicas=spec.get("replicas", 1),
        version=int(metadata["resourceVersion"]),
        owner=(metadata.get("annotations") or {}).get(OWNER_ANNOTATION, ""),
        selector=_selector(spec["selector"]),
        total=status.get("replicas", 0),
        updated=status.get("updatedReplicas", 0),
        stalled=progress.get("status") == "False" and progress.get("reason") == "ProgressDeadlineExceeded",
    )


def ownership(deployment: Deployment, owner: str | None) -> str:
    """Why we must not touch `deployment`; empty when it is ours."""
    if deployment.owner == (owner or ""):
        return ""
    if not deployment.owner:
        return (
            f"Deployment {deployment.name} is nobody's, and this controller is {owner}'s."
            f" Annotate it {OWNER_ANNOTATION}={owner}, as the chart does"
        )
    ours = f"this one is {owner}'s" if owner else "this one has no owner in its settings"
    return (
        f"Deployment {deployment.name} belongs to the controller of {deployment.owner}; {ours}."
        f" Give the region a Deployment of its own, or change the annotation {OWNER_ANNOTATION}"
    )


def _selector(selector: Manifest) -> str:
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], ",".join(expression.get("values") or ())
        match expression["operator"]:
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "Exists":
                parts.append(key)
            case _:
                parts.append(f"!{key}")
    return ",".join(parts)


def read_event(manifest: Manifest, deployment: str) -> KubeEvent | None:
    """An event; None when it is about nothing of `deployment`, or is none that we look for."""
    subject, reason = manifest["involvedObject"].get("name", ""), manifest.get("reason", "")
    if reason not in ("FailedCreate", "Pulling") or not subject.startswith(f"{deployment}-"):
        return None
    last = manifest.get("lastTimestamp") or manifest.get("eventTime") or manifest["metadata"].get("creationTimestamp")
    try:
        at_s = datetime.fromisoformat(str(last).replace("Z", "+00:00")).timestamp()
    except ValueError:
        at_s = 0.0
    return KubeEvent(subject, reason, manifest.get("message", ""), at_s)


def refused_creation(events: Iterable[KubeEvent], now_s: float) -> str:
    """Why missing pods were not created: a quota, as a rule. The newest message; empty when there is none."""
    found = [h for h in events if h.reason == "FailedCreate" and now_s - h.at_s < _NEWS_S]
    return max(found, key=lambda h: h.at_s).message if found else ""


def pulling(events: Iterable[KubeEvent]) -> frozenset[str]:
    """Names of pods whose image is, or was, fetched."""
    return frozenset(h.subject for h in events if h.reason == "Pulling")

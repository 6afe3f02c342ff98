"""The settings of what runs on Kubernetes: where pods are, and the Lease by which one of several controllers leads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voicefleet.contract.errors import ConfigError
from voicefleet.controller.settings.schema import KubernetesFields, LeaseFields, RegionFields


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """How to reach a Kubernetes API server. Neither field: as a pod of that cluster."""

    context: str | None = None
    """None: the kubeconfig's own."""
    kubeconfig: Path | None = None
    """None with a context: the file that kubectl would take."""


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """Workers as pods of one Deployment."""

    cluster: ClusterSettings
    namespace: str
    deployment: str


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """The Lease that lets one controller of several scale.

    Invariant: ``retry_s < renew_deadline_s < duration_s``. What is written in the renew deadline has arrived, or is
    lost, when the duration ends.
    """

    cluster: ClusterSettings
    namespace: str
    name: str
    duration_s: int
    """Others take over when the holder has not renewed for so long."""
    renew_deadline_s: float
    """The holder stops writing when its last renewal is older."""
    retry_s: float
    """Time between two renewals, or two looks."""


def kubernetes_settings(at: str, region: RegionFields) -> KubernetesSettings:
    """Raises `ConfigError`. `at` is the region's field."""
    kubernetes = region.kubernetes
    assert kubernetes is not None
    if region.process is not None:
        raise ConfigError(
            "workers are either pods or processes",
            field=f"{at}.kubernetes",
            hint="Keep exactly one of kubernetes and process.",
        )
    return KubernetesSettings(_cluster(kubernetes), kubernetes.namespace, kubernetes.deployment)


def _cluster(fields: KubernetesFields | LeaseFields) -> ClusterSettings:
    return ClusterSettings(fields.context, fields.kubeconfig)


def lease_settings(lease: LeaseFields) -> LeaseSettings:
    """Raises `ConfigError`."""
    for short, value, bound, name in (
        ("retry_s", lease.retry_s, lease.renew_deadline_s, "renew_deadline_s"),
        ("renew_deadline_s", lease.renew_deadline_s, lease.duration_s, "duration_s"),
    ):
        if value >= bound:
            raise ConfigError(
                f"not less than {name} ({bound:g})",
                field=f"kubernetes_lease.{short}",
                value=value,
                hint=f"Lower it, or raise {name}.",
            )
    return LeaseSettings(
        cluster=_cluster(lease),
        namespace=lease.namespace,
        name=lease.name,
        duration_s=lease.duration_s,
        renew_deadline_s=lease.renew_deadline_s,
        retry_s=lease.retry_s,
    )

"""The settings of what runs on Kubernetes: where pods are, and the Lease by which one of several controllers leads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from voicefleet.contract.parsing.validation import refused
from voicefleet.controller.settings.section import Section

KubernetesName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """How to reach a Kubernetes API server. Neither field: as a pod of that cluster."""

    context: str | None = None
    """None: the kubeconfig's own."""
    kubeconfig: Path | None = None
    """None with a context: the file that kubectl would take."""


class _InCluster(Section):
    context: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="Context of the kubeconfig; default: its current one."
    )
    kubeconfig: Path | None = Field(
        default=None,
        description="File with the access to the cluster; default: with a `context` kubectl's, else a pod's own.",
    )

    @property
    def cluster(self) -> ClusterAccess:
        return ClusterAccess(self.context, self.kubeconfig)


class KubernetesSettings(_InCluster):
    """Workers as pods of one Deployment."""

    namespace: KubernetesName = Field(description="Namespace of the Deployment.")
    deployment: KubernetesName = Field(description="Name of the Deployment whose pods are the workers.")


class LeaseSettings(_InCluster):
    """The Lease that lets one controller of several scale.

    Invariant: ``retry_s < renew_deadline_s < duration_s``. What is written in the renew deadline has arrived, or is
    lost, when the duration ends.
    """

    namespace: KubernetesName = Field(description="Namespace of the Lease.")
    name: KubernetesName = Field(description="Name of the Lease.")
    duration_s: Annotated[int, Field(ge=2, le=600)] = Field(
        default=5, description="Another replica takes over when the leader has not renewed for so long, seconds."
    )
    renew_deadline_s: Annotated[float, Field(gt=0)] = Field(
        default=3.5, description="The leader stops writing when its last renewal is older, seconds."
    )
    retry_s: Annotated[float, Field(ge=0.1)] = Field(default=1.0, description="Time between two renewals, seconds.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name, bound in (("retry_s", "renew_deadline_s"), ("renew_deadline_s", "duration_s")):
            value, most = getattr(self, name), getattr(self, bound)
            if value >= most:
                raise refused(
                    f"not less than {bound} ({most:g})", field=name, value=value, hint=f"Lower it, or raise {bound}."
                )
        return self

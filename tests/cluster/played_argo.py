"""Plays Argo CD's controller for Applications of this chart: render, run hooks, apply, prune, compare.

The kinds are Argo CD's own, with their schemas. It does what Argo CD's documents say that Argo CD does with a chart
(docs/user-guide/helm.md and sync-waves.md): `helm template`, Helm's `pre-install` and `pre-upgrade` hooks before the
rest and in the order of their weights, `test` hooks left out, objects by kind, an object out of sync when
`kubectl diff` shows a difference to what was rendered, and gone when it is no longer rendered. What the project does
not allow is refused.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cluster.kube import CommandError, Kube

Manifest = dict[str, Any]
NAMESPACE = "argocd"
_LOOK_S = 1.0
_HOOK, _WEIGHT, _DELETE = "helm.sh/hook", "helm.sh/hook-weight", "helm.sh/hook-delete-policy"
_BEFORE = {"pre-install", "pre-upgrade"}
_REFRESH = "argocd.argoproj.io/refresh"
_FIRST = ("Namespace", "ServiceAccount", "Secret", "ConfigMap", "Role", "RoleBinding", "Service")
"""Of Argo CD's order of kinds those that a chart like ours has; all others come after them."""
_FIELDS = "argocd-controller"
_HOOK_LIMIT = "--timeout=120s"


@dataclass
class Argo:
    """What it did."""

    kube: Kube
    charts: Mapping[str, Path]
    """Repository and path, as an Application names them with a `/` between -> folder."""
    syncs: int = 0
    hooks: list[str] = field(default_factory=list)
    """What it ran before a sync."""
    differences: list[str] = field(default_factory=list)
    """What was out of sync when it was compared after the first sync."""
    trouble: str = ""
    """The last command that failed: it is tried again."""
    _applied: dict[str, Manifest] = field(default_factory=dict)

    async def play(self) -> None:
        """Look again and again."""
        while True:
            try:
                await asyncio.to_thread(self._look)
            except CommandError as error:
                self.trouble = str(error)
            await asyncio.sleep(_LOOK_S)

    def _look(self) -> None:
        for application in self.kube.items("applications", "-n", NAMESPACE):
            if "deletionTimestamp" in application["metadata"]:
                self._delete(application)
            else:
                self._reconcile(application)

    def _reconcile(self, application: Manifest) -> None:
        rendered = self.render(application)
        self._allowed(application, rendered)
        wanted = {_key(found): found for found in rendered if _HOOK not in _notes(found)}
        if self.syncs:
            difference = self.difference([*wanted.values()])
            if difference:
                self.differences.append(difference)
        else:
            difference = "all"
        if difference or self._applied.keys() - wanted.keys():
            self._sync(rendered, wanted)
        meta = application["metadata"]
        sync = {"status": "Synced", "comparedTo": _compared(application)}
        status = {"sync": sync, "health": {"status": self._health()}}
        named = ("application", meta["name"], "-n", NAMESPACE)
        self.kube.kubectl("patch", *named, "--type=merge", "-p", json.dumps({"status": status}))
        if _REFRESH in meta.get("annotations", {}):
            self.kube.kubectl("annotate", *named, f"{_REFRESH}-")

    def render(self, application: Manifest) -> list[Manifest]:
        """`helm template`, as Argo CD runs it: with the cluster's version and kinds, and without any cluster to ask."""
        spec = application["spec"]
        source, helm = spec["source"], spec["source"]["helm"]
        chart = self.charts[f"{source['repoURL']}/{source['path']}"]
        version = json.loads(self.kube.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
        kinds = [part for api in self.kube.kubectl("api-versions").split() for part in ("--api-versions", api)]
        text = self.kube.helm(
            *("template", helm["releaseName"], str(chart), "--namespace", spec["destination"]["namespace"]),
            *("--kube-version", version, *kinds, "--include-crds", "--values", "-"),
            stdin=json.dumps(helm["valuesObject"]),
        )
        return [found for found in yaml.safe_load_all(text) if found]

    def difference(self, wanted: Sequence[Manifest]) -> str:
        """What applying them would change; empty when nothing."""
        try:
            self.kube.kubectl(
                *("diff", "--server-side", "--force-conflicts", f"--field-manager={_FIELDS}", "-f", "-"),
                stdin=yaml.safe_dump_all(wanted),
            )
        except CommandError as error:
            return str(error)
        return ""

    def _allowed(self, application: Manifest, rendered: Sequence[Manifest]) -> None:
        project = self.kube.get("appproject", application["spec"]["project"], "-n", NAMESPACE)["spec"]
        repository = application["spec"]["source"]["repoURL"]
        assert repository in project["sourceRepos"], f"the project does not allow {repository}"
        namespaces = {found["namespace"] for found in project["destinations"]}
        kinds = {(found["group"], found["kind"]) for found in project.get("clusterResourceWhitelist", ())}
        for found in rendered:
            group = found["apiVersion"].rpartition("/")[0]
            namespace = found["metadata"].get("namespace")
            allowed = namespace in namespaces if namespace else (group, found["kind"]) in kinds
            assert allowed, f"the project does not allow {_key(found)}"

    def _sync(self, rendered: Sequence[Manifest], wanted: dict[str, Manifest]) -> None:
        hooks = [found for found in rendered if _BEFORE & set(_notes(found).get(_HOOK, "").split(","))]
        for hook in sorted(hooks, key=lambda found: int(_notes(found).get(_WEIGHT, "0"))):
            self._run(hook)
        for hook in hooks:
            if "hook-succeeded" in _notes(hook).get(_DELETE, ""):
                self._remove(hook)
        for found in sorted(wanted.values(), key=_order):
            self._apply(found)
        for key in self._applied.keys() - wanted.keys():
            self._remove(self._applied[key])
        self._applied = wanted
        self.syncs += 1

    def _run(self, hook: Manifest) -> None:
        # Argo CD deletes a hook of the last sync before it makes it anew, by default.
        self._remove(hook)
        self._apply(hook)
        if hook["kind"] == "Pod":
            where = (f"pod/{hook['metadata']['name']}", "-n", hook["metadata"]["namespace"])
            self.kube.kubectl("wait", *where, "--for=jsonpath={.status.phase}=Succeeded", _HOOK_LIMIT)
        self.hooks.append(_key(hook))

    def _apply(self, found: Manifest) -> None:
        self.kube.kubectl(
            *("apply", "--server-side", "--force-conflicts", f"--field-manager={_FIELDS}", "-f", "-"),
            stdin=yaml.safe_dump(found),
        )

    def _remove(self, found: Manifest) -> None:
        self.kube.kubectl("delete", "--ignore-not-found", "--wait", "-f", "-", stdin=yaml.safe_dump(found))

    def _health(self) -> str:
        for found in self._applied.values():
            if found["kind"] == "Deployment":
                meta = found["metadata"]
                live = self.kube.get("deployment", meta["name"], "-n", meta["namespace"])
                status, wanted = live.get("status", {}), live["spec"].get("replicas", 1)
                if not status.get("availableReplicas", 0) == status.get("updatedReplicas", 0) == wanted:
                    return "Progressing"
        return "Healthy"

    def _delete(self, application: Manifest) -> None:
        for found in sorted(self._applied.values(), key=_order, reverse=True):
            self._remove(found)
        name = application["metadata"]["name"]
        without = '{"metadata": {"finalizers": null}}'
        self.kube.kubectl("patch", "application", name, "-n", NAMESPACE, "--type=merge", "-p", without)


def _notes(found: Manifest) -> dict[str, str]:
    notes: dict[str, str] = found["metadata"].get("annotations") or {}
    return notes


def _key(found: Manifest) -> str:
    return f"{found['kind']} {found['metadata'].get('namespace', '')}/{found['metadata']['name']}"


def _order(found: Manifest) -> tuple[int, str]:
    kind = found["kind"]
    return (_FIRST.index(kind) if kind in _FIRST else len(_FIRST), _key(found))


def _compared(application: Manifest) -> Manifest:
    spec = application["spec"]
    return {"source": spec["source"], "destination": spec["destination"]}

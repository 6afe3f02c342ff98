"""The Kubernetes API as a load test uses it, in one namespace."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, BatchV1Api, Configuration, CoreV1Api

from voicefleet.contract.errors import ConfigError, Dependency, UnknownStateError, UnreachableError, UsageError
from voicefleet.loadtest.pods.gate import ANNOTATION
from voicefleet.loadtest.pods.manifest import KEY, LABEL, Manifest
from voicefleet.loadtest.pods.settings import kubeconfigs, runs_in_cluster

UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 401, 403, 404
_ANSWER_S = 15.0
_QUIET_S = 30.0
"""A log in which nothing comes for so long is read anew: pods tell something every few seconds."""
_DAY_S = 86_400.0
_MERGE = "application/merge-patch+json"
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError, LookupError, TypeError)


class ApiError(UnknownStateError):
    """The API server refused a request, or did not answer it. `status` is the answer's, 0 when there was none."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text, dependency=Dependency.KUBERNETES)
        self.status = status


class JobApi:
    """Objects of one namespace. Use it as an async context manager.

    Args:
        context: of the kubeconfig that kubectl would take; None: its current one, or a pod's own access.
        namespace: None: the context's, else `default`.
    """

    def __init__(self, context: str | None, namespace: str | None) -> None:
        self._context = context
        self._client: ApiClient | None = None
        self.namespace = namespace or ""

    async def __aenter__(self) -> JobApi:
        await self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def template(self, name: str) -> str:
        """The Job in the chart's ConfigMap `name`.

        Raises:
            UsageError: there is no such namespace or ConfigMap, or it may not be read.
        """
        try:
            found = await self._ask(
                f"read ConfigMap {name}",
                lambda client: CoreV1Api(client).read_namespaced_config_map_without_preload_content(
                    name, self.namespace
                ),
            )
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise self.usage_error(error) from error
            await self._require_namespace()
            raise ConfigError(
                f"no such ConfigMap in namespace {self.namespace}",
                field="--job-template",
                value=name,
                hint="Give --namespace of the release, or its name: "
                "kubectl get configmaps -A -l app.kubernetes.io/component=loadtest.",
            ) from error
        return str((found.get("data") or {}).get(KEY, ""))

    async def create_job(self, manifest: Manifest) -> str:
        """Make the Job; its uid. Raises `ApiError`."""
        body: Any = manifest
        found = await self._ask(
            "create a Job",
            lambda client: BatchV1Api(client).create_namespaced_job_without_preload_content(self.namespace, body),
        )
        return str(found["metadata"]["uid"])

    async def create_config_map(self, manifest: Manifest) -> None:
        """Make the ConfigMap. Raises `ApiError`."""
        body: Any = manifest
        await self._ask(
            "create a ConfigMap",
            lambda client: CoreV1Api(client).create_namespaced_config_map_without_preload_content(self.namespace, body),
        )

    async def resume(self, job: str) -> None:
        """Let the Job make its pods. Raises `ApiError`."""
        await self._ask(
            f"resume Job {job}",
            lambda client: BatchV1Api(client).patch_namespaced_job_without_preload_content(
                job, self.namespace, {"spec": {"suspend": False}}, _content_type=_MERGE
            ),
        )

    async def pods(self, job: str) -> list[Manifest]:
        """The pods of the Job. Raises `ApiError`."""
        found = await self._ask(
            "list pods",
            lambda client: CoreV1Api(client).list_namespaced_pod_without_preload_content(
                self.namespace, label_selector=f"{LABEL}={job}"
            ),
        )
        return list(found["items"])

    async def tell(self, pod: str, text: str) -> None:
        """Write a pod's annotation. Raises `ApiError`."""
        body = {"metadata": {"annotations": {ANNOTATION: text}}}
        await self._ask(
            f"annotate pod {pod}",
            lambda client: CoreV1Api(client).patch_namespaced_pod_without_preload_content(
                pod, self.namespace, body, _content_type=_MERGE
            ),
        )

    async def warnings(self, uid: str) -> list[str]:
        """What Kubernetes complained of about an object; nothing where it may not be read."""
        with contextlib.suppress(ApiError):
            found = await self._ask(
                "list events",
                lambda client: CoreV1Api(client).list_namespaced_event_without_preload_content(
                    self.namespace, field_selector=f"involvedObject.uid={uid},type=Warning"
                ),
            )
            return [str(event.get("message", "")) for event in found["items"]]
        return []

    async def log(self, pod: str, container: str, since_s: int | None, *, follow: bool) -> AsyncIterator[str]:
        """The lines of a container's log, until it ends. Raises `ApiError`, also when nothing comes for long.

        Args:
            since_s: seconds ago; None: from its begin on.
        """
        what = f"read the log of pod {pod}"
        try:
            async with asyncio.timeout(_ANSWER_S):
                answer: Any = await CoreV1Api(self._connected()).read_namespaced_pod_log_without_preload_content(
                    pod,
                    self.namespace,
                    container=container,
                    follow=follow,
                    since_seconds=since_s,
                    _request_timeout=_DAY_S,
                )
            try:
                if answer.status != 200:
                    raise _refusal(what, answer.status, await answer.read())
                while True:
                    async with asyncio.timeout(_QUIET_S):
                        line = await answer.content.readline()
                    if not line:
                        return
                    yield line.decode(errors="replace")
            finally:
                answer.close()
        except _FAILURES as error:
            raise ApiError(f"cannot {what}: {_first_line(error)}") from error

    async def delete(self, job: str) -> None:
        """Remove the Job, its pods and its ConfigMap; nothing happens when they are gone. Raises `ApiError`."""
        await self._delete(
            f"delete Job {job}",
            lambda client: BatchV1Api(client).delete_namespaced_job_without_preload_content(
                job, self.namespace, propagation_policy="Background"
            ),
        )
        await self._delete(
            f"delete ConfigMap {job}",
            lambda client: CoreV1Api(client).delete_namespaced_config_map_without_preload_content(job, self.namespace),
        )

    def usage_error(self, error: ApiError) -> UsageError:
        """What the person who started it can do about an error."""
        text = str(error)
        if error.status == FORBIDDEN:
            return UnreachableError(
                text,
                field="--namespace",
                value=self.namespace,
                hint="Ask for the Role in the load test's README (On Kubernetes), bound in this namespace.",
            )
        if error.status == NOT_FOUND and "namespaces" in text:
            return ConfigError(
                "no such namespace",
                field="--namespace",
                value=self.namespace,
                hint="Give the one of the chart's release.",
            )
        if error.status == UNAUTHORIZED:
            hint = "Renew the credentials of the kubeconfig."
        else:
            hint = "Correct --context or KUBECONFIG, or look why the cluster refuses it."
        return UnreachableError(text, field="--context", value=self._context, hint=hint)

    async def _require_namespace(self) -> None:
        """Refuse a namespace that is not there: whoever may use it need not be allowed to look at it, so a ConfigMap
        is made in it, and not kept."""
        probe: Any = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "voicefleet-loadtest-"}}
        try:
            await self._ask(
                "create a ConfigMap",
                lambda client: CoreV1Api(client).create_namespaced_config_map_without_preload_content(
                    self.namespace, probe, dry_run="All"
                ),
            )
        except ApiError as error:
            raise self.usage_error(error) from error

    async def _delete(self, what: str, request: Callable[[ApiClient], Awaitable[Any]]) -> None:
        try:
            await self._ask(what, request)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise

    async def _ask(self, what: str, request: Callable[[ApiClient], Awaitable[Any]]) -> dict[str, Any]:
        try:
            return await self._once(what, request)
        except ApiError as error:
            if error.status != UNAUTHORIZED:
                raise
            # A token that ended: kubeconfigs of clouds have new ones made by a program.
            await self._close()
            await self._connect()
            return await self._once(what, request)

    async def _once(self, what: str, request: Callable[[ApiClient], Awaitable[Any]]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_ANSWER_S):
                answer = await request(self._connected())
                body = await answer.read()
            if not 200 <= answer.status < 300:
                raise _refusal(what, answer.status, body)
            found: dict[str, Any] = json.loads(body)
            return found
        except _FAILURES as error:
            raise ApiError(f"cannot {what}: {_first_line(error)}") from error

    def _connected(self) -> ApiClient:
        assert self._client is not None
        return self._client

    async def _connect(self) -> None:
        found = Configuration()
        found.connection_pool_maxsize = 0  # each log holds a connection
        try:
            if self._context is None and runs_in_cluster():
                config.load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
                own = _OWN_NAMESPACE.read_text(encoding="utf-8")
            else:
                if not any(path.is_file() for path in kubeconfigs()):
                    raise config.ConfigException(f"there is no {', '.join(map(str, kubeconfigs()))}")
                loader = await config.load_kube_config(  # type: ignore[no-untyped-call]
                    context=self._context, client_configuration=found, persist_config=False
                )
                own = loader.current_context["context"].get("namespace", "")
            self._client = ApiClient(configuration=found)
        except (config.ConfigException, yaml.YAMLError, *_FAILURES) as error:
            raise UnreachableError(
                f"there is no access to a cluster: {_first_line(error)}",
                field="--context",
                value=self._context,
                hint="Set KUBECONFIG, or name one of: kubectl config get-contexts.",
            ) from error
        self.namespace = self.namespace or own.strip() or "default"

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()  # type: ignore[no-untyped-call]


def _refusal(what: str, status: int, body: bytes) -> ApiError:
    text = body.decode(errors="replace")
    with contextlib.suppress(ValueError, TypeError, KeyError):
        text = str(json.loads(text)["message"])
    return ApiError(f"cannot {what}: {status} {text.strip()}"[:600], status)


def _first_line(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]

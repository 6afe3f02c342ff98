"""Connections to Kubernetes API servers; errors of the client become ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from voicefleet.contract.errors import Dependency, UnknownStateError
from voicefleet.controller.settings.kubernetes import ClusterAccess

_UNAUTHORIZED = 401
_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError, LookupError, TypeError)


class KubernetesError(UnknownStateError):
    """The API server refused a request, or did not answer it. `status` is the answer's, 0 when there was none."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text, dependency=Dependency.KUBERNETES)
        self.status = status


class Cluster:
    """One API server. Connects when first used, and again after a refusal: a kubeconfig may have been corrected."""

    def __init__(self, settings: ClusterAccess) -> None:
        self._settings = settings
        self._client: ApiClient | None = None

    async def client(self) -> ApiClient:
        """Raises `KubernetesError` when the configuration cannot be used."""
        if self._client is None:
            found = Configuration()
            found.connection_pool_maxsize = 0  # each watch holds a connection
            try:
                await self._configure(found)
                client = ApiClient(configuration=found)
            except (config.ConfigException, *_FAILURES) as error:
                raise KubernetesError(f"{self._where}: {_first_line(error)}. {self._hint}") from error
            if self._client is not None:  # another task was faster
                await client.close()
            else:
                self._client = client
        return self._client

    async def _configure(self, found: Any) -> None:
        settings = self._settings
        if settings.context is None and settings.kubeconfig is None:
            config.load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
            return
        path = settings.kubeconfig
        if path is not None and not path.is_file():
            raise config.ConfigException("no such file")
        await config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=None if path is None else str(path),
            context=settings.context,
            client_configuration=found,
            persist_config=False,
        )

    @property
    def _where(self) -> str:
        context, path = self._settings.context, self._settings.kubeconfig
        if context is None and path is None:
            return "this pod's own access to Kubernetes"
        named = f"context {context} of " if context else ""
        return f"{named}{path or 'the default kubeconfig'}"

    @property
    def _hint(self) -> str:
        if self._settings.context is None and self._settings.kubeconfig is None:
            return "Run as a pod with a service account, or give kubeconfig and context."
        return "Correct kubeconfig and context of the region; no restart is needed."

    @contextlib.asynccontextmanager
    async def requesting(self, what: str, within_s: float) -> AsyncIterator[ApiClient]:
        """A client for one request, which must end within a time. `what` is for the error: "read pods of voice-eu"."""
        try:
            client = await self.client()
            async with asyncio.timeout(within_s):
                yield client
        except KubernetesError as error:
            if error.status == _UNAUTHORIZED:
                await self.close()  # with new credentials next time
            raise
        except TimeoutError as error:
            raise KubernetesError(f"cannot {what}: no answer within {within_s:.1f} s") from error
        except _FAILURES as error:
            raise KubernetesError(f"cannot {what}: {_first_line(error)}") from error

    async def ask(self, what: str, within_s: float, request: Callable[[ApiClient], Awaitable[Any]]) -> dict[str, Any]:
        """The answer to one request by a method ``..._without_preload_content``: the client's models cost more time
        and memory than we have for a thousand pods. Raises `KubernetesError`."""
        async with self.requesting(what, within_s) as client:
            answer = await request(client)
            found: dict[str, Any] = json.loads(await read_body(what, answer))
            return found

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()  # type: ignore[no-untyped-call]


class Clusters:
    """One connection for each API server, however many regions it has."""

    def __init__(self) -> None:
        self._known: dict[ClusterAccess, Cluster] = {}

    def get(self, settings: ClusterAccess) -> Cluster:
        return self._known.setdefault(settings, Cluster(settings))

    async def close(self) -> None:
        for cluster in self._known.values():
            await cluster.close()


async def read_body(what: str, answer: Any) -> bytes:
    """The body of an aiohttp answer. Raises `KubernetesError` for a refusal."""
    body = bytes(await answer.read())
    if not 200 <= answer.status < 300:
        raise refusal(what, answer.status, body)
    return body


def refusal(what: str, status: int, body: Any) -> KubernetesError:
    """The error for an answer that is none of 2xx; its body is a Status object, as a rule."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    with contextlib.suppress(ValueError, TypeError):
        text = str(json.loads(text)["message"])
    hint = ""
    if status == 401:
        hint = ". Renew the credentials of the kubeconfig or service account"
    elif status == 403:
        hint = ". Bind the Role of the chart to the controller's service account"
    return KubernetesError(f"cannot {what}: {status} {text.strip()}"[:600] + hint, status)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]

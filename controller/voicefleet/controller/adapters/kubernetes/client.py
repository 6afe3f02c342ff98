"""Connections to Kubernetes API servers; errors of the client become ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from voicefleet.contract.errors import Dependency, UnknownStateError
from voicefleet.controller.adapters.kubernetes.token_life import TokenLife, token_life
from voicefleet.controller.settings.kubernetes import ClusterAccess
from voicefleet.runtime.logs.setup import get_logger

_UNAUTHORIZED = 401
_Stamp = tuple[int, int, int] | None
_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError, LookupError, TypeError)

log = get_logger(__name__)


class KubernetesError(UnknownStateError):
    """The API server refused a request, or did not answer it. `status` is the answer's, 0 when there was none."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text, dependency=Dependency.KUBERNETES)
        self.status = status


@dataclass(eq=False)
class _Connection:
    """A client, the state of the file that it was made from, and how many requests are under way with it."""

    client: ApiClient
    stamp: _Stamp
    requests: int = 0
    left: bool = False
    """Nobody begins another request with it."""

    async def close_if_idle(self) -> None:
        if self.left and not self.requests:
            await self.client.close()  # type: ignore[no-untyped-call]


class Cluster:
    """One API server. Connects when first used, and again after a refusal or a change of its kubeconfig: a token is
    renewed, an address corrected, without a restart. Requests under way end with the access that they began with."""

    def __init__(self, settings: ClusterAccess) -> None:
        self._settings = settings
        self._connection: _Connection | None = None

    async def _connect(self) -> _Connection:
        """Raises `KubernetesError` when the configuration cannot be used."""
        stamp = _stamp(self._settings.kubeconfig)
        # A file that is gone may be about to come back; who has access keeps it until it is refused.
        if self._connection is not None and stamp is not None and stamp != self._connection.stamp:
            log.info("kubeconfig changed, connecting anew", kubeconfig=str(self._settings.kubeconfig))
            await self.close()
        if self._connection is None:
            found = Configuration()
            found.connection_pool_maxsize = 0  # each watch holds a connection
            try:
                await self._configure(found)
                made = _Connection(ApiClient(configuration=found), stamp)
            except (config.ConfigException, yaml.YAMLError, *_FAILURES) as error:
                raise KubernetesError(f"{self._where}: {_first_line(error)}. {self._hint}") from error
            if self._connection is not None:  # another task was faster
                await made.client.close()
            else:
                self._connection = made
        return self._connection

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
    def token_life(self) -> TokenLife | None:
        """When the token of the kubeconfig ends; None: it has none, or no end, or nothing was asked yet. (The kubelet
        renews a pod's own.)"""
        if self._connection is None or self._settings.kubeconfig is None:
            return None
        return token_life(str(self._connection.client.configuration.api_key.get("BearerToken", "")))

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
        connection: _Connection | None = None
        try:
            connection = await self._connect()
            connection.requests += 1
            async with asyncio.timeout(within_s):
                yield connection.client
        except KubernetesError as error:
            if error.status == _UNAUTHORIZED and connection is self._connection:
                await self.close()  # with new credentials next time
            raise
        except TimeoutError as error:
            raise KubernetesError(f"cannot {what}: no answer within {within_s:.1f} s") from error
        except _FAILURES as error:
            raise KubernetesError(f"cannot {what}: {_first_line(error)}") from error
        finally:
            if connection is not None:
                connection.requests -= 1
                await connection.close_if_idle()

    async def ask(self, what: str, within_s: float, request: Callable[[ApiClient], Awaitable[Any]]) -> dict[str, Any]:
        """The answer to one request by a method ``..._without_preload_content``: the client's models cost more time
        and memory than we have for a thousand pods. Raises `KubernetesError`."""
        async with self.requesting(what, within_s) as client:
            answer = await request(client)
            found: dict[str, Any] = json.loads(await read_body(what, answer))
            return found

    async def close(self) -> None:
        """The next request connects anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.left = True
            await connection.close_if_idle()


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


def _stamp(path: Path | None) -> _Stamp:
    """What differs when a file has another content: when it was written, which file it is, how long. None: no file."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_ino, found.st_size)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]

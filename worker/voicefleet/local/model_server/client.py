"""The job processes' client of the worker's model server; its errors are those that livekit-agents knows."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
from livekit.agents import APIConnectionError, APIStatusError, APITimeoutError

from voicefleet.contract.errors import ConfigError
from voicefleet.local.model_server.protocol import Reply, Task, http_session
from voicefleet.local.settings import MODEL_SOCKET_VARIABLE, model_socket

_TRY_AGAIN_S = 0.05


class ModelClient:
    """Uses one connection for each request: a cancelled request frees the server, and a restart needs no reconnecting.

    While the server restarts, a request waits for it as long as its time allows. Each raises

        APITimeoutError: no answer in time.
        APIConnectionError: no server listens, or it ended during the request.
        APIStatusError: the server refused (503 may be retried, 400, 404 and 413 not).

    Args:
        socket_path: path of the server's socket; None takes it from `VOICEFLEET_MODEL_SOCKET` at the first request.
    """

    def __init__(self, socket_path: str | Path | None = None) -> None:
        self._socket_path = socket_path

    @property
    def socket_path(self) -> str:
        """Path of the server's socket.

        Raises:
            ConfigError: neither given nor in the environment.
        """
        path = self._socket_path or model_socket()
        if not path:
            raise ConfigError(
                "not set, so the model server cannot be found",
                field=MODEL_SOCKET_VARIABLE,
                hint="Start the agent with `voicefleet worker`, which runs a model server.",
            )
        return str(path)

    async def recognize(self, model: str, pcm: bytes, *, options: dict[str, Any], limit_s: float) -> Reply:
        """The speech in 16 kHz mono s16le `pcm`, within `limit_s` seconds in all."""
        async with self._posted(f"/recognize/{model}", pcm, options, limit_s) as answer:
            return Reply(**await answer.json())

    async def speak(self, model: str, sentence: str, *, limit_s: float) -> bytes:
        """The sentence as a mono 16-bit WAV file, within `limit_s` seconds in all."""
        async with self._posted(f"/speak/{model}", sentence.encode(errors="ignore"), {}, limit_s) as answer:
            return await answer.read()

    async def write(self, model: str, task: Task, then: Callable[[str], None], *, limit_s: float) -> None:
        """Hand on each piece of the text as the model writes it, all within `limit_s` seconds; cancelled, it stops."""
        async with self._posted(f"/write/{model}", json.dumps(asdict(task)).encode(), {}, limit_s) as answer:
            async for line in answer.content:
                piece = json.loads(line)
                if "text" not in piece:
                    return
                then(piece["text"])
            raise APIConnectionError("the model server's answer was cut off")

    @contextlib.asynccontextmanager
    async def _posted(
        self, path: str, body: bytes, options: dict[str, Any], limit_s: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        socket, connected = self.socket_path, False
        try:
            async with asyncio.timeout(limit_s), http_session(socket) as http:
                while True:
                    connected = True
                    try:
                        # In parts: aiohttp warns about a body of over 1 MB, half a minute of speech, in one piece.
                        answer = await http.post(path, params=options, data=io.BytesIO(body))
                        break
                    except aiohttp.ClientConnectorError as error:
                        connected = False
                        if not isinstance(error.os_error, FileNotFoundError | ConnectionRefusedError):
                            raise
                    await asyncio.sleep(_TRY_AGAIN_S)
                async with answer:
                    if answer.status != 200:
                        raise APIStatusError(await answer.text(), status_code=answer.status)
                    yield answer
        except TimeoutError as error:
            if connected:
                raise APITimeoutError(f"the model server took longer than {limit_s:.1f} s") from error
            raise APIConnectionError(f"no model server within {limit_s:.1f} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise APIConnectionError(f"the connection to the model server failed ({type(error).__name__})") from error

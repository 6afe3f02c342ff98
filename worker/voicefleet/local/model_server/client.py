"""The job processes' client of the worker's model server; its errors are those that livekit-agents knows."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import aiohttp
from livekit.agents import APIConnectionError, APIStatusError, APITimeoutError

from voicefleet.contract.errors import ConfigError
from voicefleet.local.model_server.protocol import Reply, http_session
from voicefleet.local.settings import MODEL_SOCKET_VARIABLE, model_socket

_TRY_AGAIN_S = 0.05


class ModelClient:
    """Uses one connection for each request: a cancelled request frees the server, and a restart needs no reconnecting.

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
        """Recognize the speech in 16 kHz mono s16le `pcm`, within `limit_s` seconds in all.

        While the server restarts, the request waits for it as long as the time allows.

        Raises:
            APITimeoutError: no answer in time.
            APIConnectionError: no server listens, or it ended during the request.
            APIStatusError: the server refused (503 may be retried, 400, 404 and 413 not).
        """
        path = self.socket_path
        connected = False
        try:
            async with asyncio.timeout(limit_s), http_session(path) as http:
                while True:
                    connected = True
                    try:
                        # In parts: aiohttp warns about a body of over 1 MB, half a minute of speech, in one piece.
                        body = io.BytesIO(pcm)
                        async with http.post(f"/recognize/{model}", params=options, data=body) as response:
                            if response.status != 200:
                                raise APIStatusError(await response.text(), status_code=response.status)
                            return Reply(**await response.json())
                    except aiohttp.ClientConnectorError as error:
                        connected = False
                        if not isinstance(error.os_error, FileNotFoundError | ConnectionRefusedError):
                            raise
                    await asyncio.sleep(_TRY_AGAIN_S)
        except TimeoutError as error:
            if connected:
                raise APITimeoutError(f"the model server took longer than {limit_s:.1f} s") from error
            raise APIConnectionError(f"no model server within {limit_s:.1f} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise APIConnectionError(f"the connection to the model server failed ({type(error).__name__})") from error

"""Asks the worker's model server, from a job process, in livekit's terms of success and failure."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livekit.agents import APIConnectionError, APIStatusError, APITimeoutError

from voicefleet.contract.errors import ConfigError
from voicefleet.local.model_server.protocol import Message, ProtocolError, encode, read_message
from voicefleet.local.settings import MODEL_SOCKET_VARIABLE, model_socket

_TRY_AGAIN_S = 0.05


@dataclass(frozen=True, slots=True)
class Reply:
    """What was heard, and the seconds it took: `waited_s` for a free thread, `compute_s` in the model."""

    text: str
    confidence_ratio: float
    waited_s: float
    compute_s: float


class ModelClient:
    """One request, one connection: a caller who hangs up frees the server, and a restarted server needs no care.

    Args:
        socket_path: the server's socket; None takes it from `VOICEFLEET_MODEL_SOCKET` at the first request.
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
        """What is said in 16 kHz mono s16le `pcm`, within `limit_s` seconds in all.

        A server that is being restarted is waited for, as long as the time allows.

        Raises:
            APITimeoutError: no answer in time.
            APIConnectionError: nothing listens, or the server ended half-way.
            APIStatusError: the server refused (503 is worth a retry, 400 is not).
        """
        path = self.socket_path
        request = encode(Message({"op": "recognize", "model": model, "options": options}, pcm))
        connected = False
        try:
            async with asyncio.timeout(limit_s):
                reader, writer = await self._connect(path)
                connected = True
                try:
                    writer.write(request)
                    reply = (await read_message(reader)).header
                finally:
                    writer.close()
        except TimeoutError as error:
            if connected:
                raise APITimeoutError(f"the model server took longer than {limit_s:.1f} s") from error
            raise APIConnectionError(f"no model server within {limit_s:.1f} s") from error
        except (OSError, asyncio.IncompleteReadError, ProtocolError) as error:
            raise APIConnectionError("the model server ended in the middle of a request") from error
        if not reply.get("ok"):
            raise APIStatusError(str(reply.get("error", "refused")), status_code=503 if reply.get("retryable") else 400)
        return Reply(
            text=str(reply["text"]),
            confidence_ratio=float(reply["confidence_ratio"]),
            waited_s=float(reply["waited_s"]),
            compute_s=float(reply["compute_s"]),
        )

    async def _connect(self, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            try:
                return await asyncio.open_unix_connection(path)
            except (FileNotFoundError, ConnectionRefusedError):
                await asyncio.sleep(_TRY_AGAIN_S)

"""``python -m bench.http_flood PORT REGION HALF_OPEN WEBHOOKS``: connections that only hold on to a controller.

Each that is ended comes again a quarter of a second later, until SIGTERM. On stdout stands `ready` once all are there.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

_AGAIN_S = 0.25
_HALF_HEAD = b"GET /healthz HTTP/1.1\r\nHost: controller\r\n"
_HALF_BODY = 512 * 1024
"""Of the megabyte that is announced."""


async def _hold(port: int, text: bytes, there: asyncio.Semaphore) -> None:
    first = True
    while True:
        writer = None
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(text)
            if first:
                there.release()
                first = False
            await reader.read()
        if writer is not None:
            writer.transport.abort()
        await asyncio.sleep(_AGAIN_S)


async def flood(port: int, region: str, half_open: int, webhooks: int) -> None:
    """Run until SIGTERM."""
    head = f"POST /webhooks/livekit/{region} HTTP/1.1\r\nHost: controller\r\nAuthorization: a.b.c\r\n"
    body = (head + f"Content-Length: {2 * _HALF_BODY}\r\n\r\n").encode() + b"a" * _HALF_BODY
    there, stop = asyncio.Semaphore(0), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    texts = [_HALF_HEAD] * half_open + [body] * webhooks
    tasks = [asyncio.create_task(_hold(port, text, there)) for text in texts]
    for _ in texts:
        await there.acquire()
    print("ready", flush=True)
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    given = sys.argv[1:]
    asyncio.run(flood(int(given[0]), given[1], int(given[2]), int(given[3])))

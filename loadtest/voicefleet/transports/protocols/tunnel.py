"""TLS around a TCP connection: `python -m MODULE ADDRESS PORT TO_ADDRESS TO_PORT CERTIFICATE`.

WebRTC's own TLS to a relay trusts public authorities only, and takes no other. So the caller's relay is this tunnel
beside it, which trusts the one certificate it is given; from here over the link to the relay all is TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys

from voicefleet.netlab.realtime import SPEAKING_PRIORITY, become_realtime


async def serve(address: str, port: int, to_address: str, to_port: int, certificate: str) -> None:
    """Until the process is ended."""
    trust = ssl.create_default_context(cafile=certificate)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Opened per connection: each has a handshake of its own, as a client's would.
        try:
            there, back = await asyncio.open_connection(to_address, to_port, ssl=trust)
        except OSError as error:
            print(f"the relay does not answer: {error}", file=sys.stderr, flush=True)
            writer.close()
            return
        await asyncio.gather(_copy(reader, back), _copy(there, writer))

    server = await asyncio.start_server(carry, address, port)
    async with server:
        await server.serve_forever()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def main(arguments: list[str]) -> None:
    """Serve as the arguments say."""
    address, port, to_address, to_port, certificate = arguments
    become_realtime(SPEAKING_PRIORITY)
    asyncio.run(serve(address, int(port), to_address, int(to_port), certificate))


if __name__ == "__main__":
    main(sys.argv[1:])

"""A forwarder on a host: what connects to a port of its loopback reaches the same port of the exchange's host.

    python -m tests.cluster.forward HOST PORT...

A mesh refuses `http://` of another host for accounts, and the local exchange has no certificate.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

CHUNK = 1 << 16


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the sender ends its side or the connection is lost."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def serve(host: str, port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(host, port)
            with contextlib.closing(far_writer):
                await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    await server.serve_forever()


async def main() -> None:
    host, *ports = sys.argv[1:]
    await asyncio.gather(*(serve(host, int(port)) for port in ports))


if __name__ == "__main__":
    asyncio.run(main())

"""A comparison of websocket clients for market data: CPU per frame and latency, on loopback.

    python -m benchmarks.websocket_clients [--quick]

A separate server process sends text frames of one size, paced (latency: from just before the server's write to the
handler's first line, one clock for both) or as fast as the client takes them (CPU: user and system time of the client's
process per frame). The clients take turns; figures are medians over the rounds. All run on uvloop with compression off
and do the same with a frame: they have its bytes. `venuemesh` is picows behind our own link and feed.

The decision: docs/adr/0001-websocket-client.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import numpy as np
import picows
import uvloop
import websockets
from websockets.asyncio.client import connect as websockets_connect
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from venuemesh.connectors.transport import Feed, Link

SIZES = (200, 1500)
STAMP = 20  # a frame begins with the server's monotonic time, this many digits
END = b"end"
CHUNK = 64  # frames per write without pacing

Received = Callable[[bytes], bool]  # returns True at the end


# ---------------------------------------------------------------------- the server, in its own process


def header(payload: int) -> bytes:
    """Return the websocket header of a text frame with a payload of `payload` bytes."""
    return Frame(Opcode.TEXT, b"x" * payload).serialize(mask=False)[:-payload]


async def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer `/<size>/<frames>/<frames a second, or 0>`."""
    protocol = ServerProtocol()
    while not (events := protocol.events_received()):
        protocol.receive_data(await reader.read(65536))
    request: Any = events[0]
    protocol.send_response(protocol.accept(request))
    for data in protocol.data_to_send():
        writer.write(data)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    size, frames, rate = (int(part) for part in request.path.strip("/").split("/"))
    head, tail = header(size), b"x" * (size - STAMP)
    if rate:
        start = time.monotonic_ns()
        for number in range(frames):
            wait = start + number * 1_000_000_000 // rate - time.monotonic_ns()
            if wait > 0:
                await asyncio.sleep(wait / 1e9)
            writer.write(b"%b%020d%b" % (head, time.monotonic_ns(), tail))
    else:
        chunk = b"%b%020d%b" % (head, 0, tail) * CHUNK
        for _ in range(frames // CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.write(header(len(END)) + END)
    with contextlib.suppress(ConnectionError):
        await reader.read(65536)  # the client's close frame; the end of the connection answers it
    writer.close()


async def serve() -> None:
    server = await asyncio.start_server(serve_client, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the parent ends
    server.close()


@contextlib.contextmanager
def server() -> Iterator[int]:
    """Run the server; yield its port."""
    command = [sys.executable, "-m", "benchmarks.websocket_clients", "--serve"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield json.loads(process.stdout.readline())["port"]
    finally:
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


# ---------------------------------------------------------------------- the clients


async def with_picows(url: str, received: Received) -> None:
    class Listener(picows.WSListener):
        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            if frame.msg_type is picows.WSMsgType.TEXT and received(frame.get_payload_as_bytes()):
                transport.disconnect()

    transport, _ = await picows.ws_connect(Listener, url)
    await transport.wait_disconnected()


async def with_aiohttp(url: str, received: Received) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, compress=0, decode_text=False) as connection,
    ):
        async for message in connection:
            if received(message.data):
                break


async def with_websockets(url: str, received: Received) -> None:
    async with websockets_connect(url, compression=None, ping_interval=None) as connection:
        while not received(await connection.recv(decode=False)):
            pass


async def with_venuemesh(url: str, received: Received) -> None:
    over = asyncio.get_running_loop().create_future()

    class Handler:
        def on_open(self, link: Link) -> None: ...

        def on_frame(self, frame: memoryview | bytes, recv_ns: int) -> None:
            if received(bytes(frame)) and not over.done():
                over.set_result(None)

        def on_close(self, reason: str) -> None: ...

    feed = Feed(lambda: url, Handler(), on_failure=over.set_exception)
    feed.start()
    try:
        await over
    finally:
        await feed.stop()


CLIENTS: dict[str, Callable[[str, Received], Awaitable[None]]] = {
    "picows": with_picows,
    "venuemesh": with_venuemesh,
    "aiohttp": with_aiohttp,
    "websockets": with_websockets,
}


def measure(client: str, url: str, paced: bool) -> tuple[float, list[int]]:
    """Receive all frames; return CPU us per frame and, for a paced server, the latencies in ns."""
    count, latencies = 0, []
    clock = time.monotonic_ns
    began = 0.0

    def stamped(frame: bytes) -> bool:
        if len(frame) > STAMP:
            latencies.append(clock() - int(frame[:STAMP]))
        return started(frame)

    def started(frame: bytes) -> bool:
        nonlocal count, began
        if not count:
            began = time.process_time()  # connecting is not counted
        count += 1
        return len(frame) == len(END)

    async def session() -> None:
        await CLIENTS[client](url, stamped if paced else started)

    uvloop.run(session())
    return (time.process_time() - began) / max(1, count) * 1e6, latencies


def run(quick: bool = False) -> dict[str, Any]:
    """Measure all; return a table of medians and of ratios to our link."""
    rounds, flood, seconds = (1, 20_000, 1) if quick else (5, 50_000, 1)
    plans = [(size, rate) for size in SIZES for rate in (0, 1000, 100)]
    cpu: dict[tuple[str, int, int], list[float]] = {}
    p50: dict[tuple[str, int, int], list[float]] = {}
    p99: dict[tuple[str, int, int], list[float]] = {}
    names = list(CLIENTS)
    with server() as port:
        for turn in range(rounds):
            for size, rate in plans:
                for client in names[turn % len(names) :] + names[: turn % len(names)]:
                    url = f"ws://127.0.0.1:{port}/{size}/{rate * seconds or flood}/{rate}"
                    used, latencies = measure(client, url, paced=rate > 0)
                    key = (client, size, rate)
                    cpu.setdefault(key, []).append(used)
                    if latencies:
                        low, high = np.percentile(np.asarray(latencies) / 1e3, (50, 99))
                        p50.setdefault(key, []).append(float(low))
                        p99.setdefault(key, []).append(float(high))
    rows = []
    for size, rate in plans:
        base = statistics.median(cpu["picows", size, rate])
        for client in names:
            key = (client, size, rate)
            used = statistics.median(cpu[key])
            rows.append(
                {
                    "frame_bytes": size,
                    "frames_per_s": rate or "maximum",
                    "client": client,
                    "cpu_us_per_frame": round(used, 2),
                    "times_picows": round(used / base, 2),
                    "latency_p50_us": round(statistics.median(p50[key]), 1) if key in p50 else None,
                    "latency_p99_us": round(statistics.median(p99[key]), 1) if key in p99 else None,
                }
            )
    versions = {"picows": picows.__version__, "aiohttp": aiohttp.__version__, "websockets": websockets.__version__}
    return {
        "title": f"receiving text frames on loopback, medians of {rounds} interleaved rounds",
        "rows": rows,
        "versions": versions | {"uvloop": uvloop.__version__},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve())
    else:
        print(json.dumps(run(options.quick), indent=1))


if __name__ == "__main__":
    main()

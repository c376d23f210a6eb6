"""A bad cable: every frame between two network devices is late, and some are lost.

    python -m tests.cluster.impair DEVICE DEVICE DELAY_MS LOSS SEED

The kernel's own way (`tc netem`) is not in every kernel. A frame keeps the kernel's header of what is left to be done
to it (its checksum, its division into segments), so the hosts need no other settings. It writes a line when
frames pass.
"""

from __future__ import annotations

import heapq
import itertools
import random
import selectors
import socket
import struct
import sys
import time

from tests.cluster.net import end_with_parent

ETH_P_ALL = 0x0003
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_VNET_HDR, PACKET_MR_PROMISC = 263, 1, 15, 1
MOST_BYTES = 1 << 17
FULL = 4_000  # frames that wait; more are lost, as in a cable that is too slow


def opened(device: str) -> socket.socket:
    """Return a socket for all frames that arrive at a device."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    made.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    made.bind((device, ETH_P_ALL))
    everything = struct.pack("IHH8s", socket.if_nametoindex(device), PACKET_MR_PROMISC, 0, b"")
    made.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, everything)
    made.setblocking(False)
    return made


def run(devices: tuple[str, str], delay_s: float, loss: float, seed: int) -> None:
    """Pass frames between two devices, for ever."""
    chance, order = random.Random(seed), itertools.count()
    one, other = (opened(device) for device in devices)
    late: list[tuple[float, int, socket.socket, bytes]] = []
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        print("passes", flush=True)
        while True:
            wait_s = max(0.0, late[0][0] - time.monotonic()) if late else None
            for key, _ in selector.select(wait_s):
                frame, address = key.fileobj.recvfrom(MOST_BYTES)  # type: ignore[union-attr]
                if address[2] != socket.PACKET_OUTGOING and chance.random() >= loss and len(late) < FULL:
                    heapq.heappush(late, (time.monotonic() + delay_s, next(order), key.data, frame))
            while late and late[0][0] <= time.monotonic():
                _, _, target, frame = heapq.heappop(late)
                try:
                    target.send(frame)
                except OSError:
                    continue  # the device is down, or its queue is full: the frame is lost


if __name__ == "__main__":
    end_with_parent()
    run((sys.argv[1], sys.argv[2]), float(sys.argv[3]) / 1e3, float(sys.argv[4]), int(sys.argv[5]))

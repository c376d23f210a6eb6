"""A strategy that only reads, on its host: it writes down every state and top that it was shown, with the time.

    python -m tests.cluster.reader MESH ADDRESS LOG

The log has JSON lines: {"t": CLOCK_MONOTONIC in ns, "pid", ...} and either "book", "state", "sequence", "bid", "ask",
or "live": the addresses that were LIVE at that look, which is a sign of life every `BEAT_S`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, TextIO

import venuemesh
from venuemesh.model.errors import MeshError, MeshNotRunning

LOOK_S, BEAT_S = 0.05, 0.5


def joined(mesh: str, address: str) -> venuemesh.Mesh:
    """Wait for the mesh and join it."""
    while True:
        try:
            return venuemesh.connect(mesh, address=address)
        except MeshNotRunning as error:
            print(error, flush=True)
            time.sleep(1.0)


def exchanges(mesh: venuemesh.Mesh) -> list[str]:
    while True:
        try:
            if found := mesh.exchanges:
                return found
        except MeshError as error:  # the supervisor is still starting
            print(error, flush=True)
        time.sleep(0.2)


def look(book: str, view: Any) -> tuple[Any, ...]:
    top = view.peek()
    bid, ask = (None if level is None else str(level.price) for level in (top.best_bid, top.best_ask))
    return top.state.name, list(top.incarnation or ()), top.sequence, bid, ask


def follow(mesh: venuemesh.Mesh, log: TextIO) -> None:
    markets = [mesh.market(name) for name in exchanges(mesh)]
    views: dict[str, Any] = {}
    shown: dict[str, tuple[Any, ...]] = {}
    beat = 0.0
    while True:
        for market in markets:
            for pair in market.trading_pairs:
                view = market.order_book(pair)
                views.setdefault(view.address, view)
        for book, view in views.items():
            seen = look(book, view)
            if seen != shown.get(book):
                shown[book] = seen
                names = ("state", "incarnation", "sequence", "bid", "ask")
                write(log, {"book": book, **dict(zip(names, seen, strict=True))})
        if time.monotonic() - beat >= BEAT_S:
            beat = time.monotonic()
            write(log, {"live": sorted(book for book, seen in shown.items() if seen[0] == "LIVE")})
        time.sleep(LOOK_S)


def write(log: TextIO, row: dict[str, Any]) -> None:
    log.write(json.dumps({"t": time.monotonic_ns(), "pid": os.getpid(), **row}) + "\n")
    log.flush()


def main() -> None:
    mesh, address, path = sys.argv[1:]
    with open(path, "a") as log:
        follow(joined(mesh, address), log)


if __name__ == "__main__":
    main()

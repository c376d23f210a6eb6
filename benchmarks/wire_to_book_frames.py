"""Depth frames for the benchmark: real frames from the captures, and generated ones with the statistics of real feeds.

Statistics of generated frames (DESIGN.md, measured on real captures): rank from the touch of a change p50/p90/p99 =
9/76/406, which a lognormal of median 9 and sigma 1.665 meets; a third of the sizes are zero, a third of those for
levels that are absent; the best price moves in about an eighth of the frames; levels of a side come best first.
"""

from __future__ import annotations

import bisect
import gzip
import json
import os
import random
from dataclasses import dataclass
from pathlib import Path

SCALE = 8
TICK = 100_000  # 0.001
LOT = 1_000_000  # 0.01


@dataclass(frozen=True, slots=True)
class Feed:
    """A snapshot body, in Binance's shape, and the frames that follow it, as text on the wire."""

    name: str
    symbol: str
    real: bool
    snapshot: bytes
    frames: tuple[bytes, ...]
    levels: int  # in all frames together
    exchange: str = "binance"
    scales: tuple[int, int] = (SCALE, SCALE)  # of prices and sizes
    window: int = 0  # levels a side of the exchange's feed; 0: all

    @property
    def levels_per_frame(self) -> float:
        return self.levels / len(self.frames)


def captures() -> Path:
    """Return the directory of recorded messages; it may be absent."""
    return Path(os.environ.get("VENUEMESH_CAPTURES", Path(__file__).resolve().parents[2] / "shared" / "captures"))


def text(raw: int) -> str:
    return f"{raw // 10**SCALE}.{raw % 10**SCALE:08d}"


def frame_bytes(symbol: str, first: int, last: int, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> bytes:
    """A combined-stream depth frame, byte for byte as Binance writes it."""
    data = {"e": "depthUpdate", "E": 1633998512068 + last, "s": symbol, "U": first, "u": last, "b": bids, "a": asks}
    return json.dumps({"stream": f"{symbol.lower()}@depth@100ms", "data": data}, separators=(",", ":")).encode()


class _Side:
    """One side of the market that the generator plays: occupied ticks, best first by rank."""

    def __init__(self, rng: random.Random, start: int, step: int, levels: int) -> None:
        self.step = step  # -1: bids, prices fall with rank; 1: asks
        self.keys = []  # step * tick, ascending: best first
        tick = start
        for _ in range(levels):
            self.keys.append(step * tick)
            tick += step * rng.choice((1, 1, 1, 2, 2, 3))
        self.taken = set(self.keys)

    def nearby_empty(self, rng: random.Random, rank: int) -> int:
        key = self.keys[rank]
        while key in self.taken:
            key += rng.choice((1, 1, 1, -1)) if key > self.keys[0] + 1 else 1
        return key

    def add(self, key: int) -> None:
        bisect.insort(self.keys, key)
        self.taken.add(key)

    def remove(self, key: int) -> None:
        self.keys.pop(bisect.bisect_left(self.keys, key))
        self.taken.remove(key)

    def text_of(self, key: int) -> str:
        return text(self.step * key * TICK)


def _rank(rng: random.Random, limit: int) -> int:
    while True:
        rank = int(rng.lognormvariate(2.197, 1.665))
        if rank < limit:
            return rank


def _size(rng: random.Random) -> str:
    return text(max(1, int(rng.lognormvariate(7.0, 1.8))) * LOT)


def _changes(rng: random.Random, side: _Side, count: int, best: str) -> list[tuple[str, str]]:
    changed: dict[int, str] = {}
    if best == "goes" and count:
        changed[side.keys[0]] = text(0)
    elif best == "improves" and count:
        changed[side.keys[0] - rng.randrange(1, 3)] = _size(rng)
    while len(changed) < count:
        rank = _rank(rng, len(side.keys))
        kind = rng.random()
        if kind < 0.45 or rank == 0:  # an existing level gets another size
            key, size = side.keys[rank], _size(rng)
        elif kind < 0.67:  # a level is removed
            key, size = side.keys[rank], text(0)
        elif kind < 0.78:  # the removal of a level that the book does not have
            key, size = side.nearby_empty(rng, rank), text(0)
        else:  # a level is added
            key, size = side.nearby_empty(rng, rank), _size(rng)
        changed.setdefault(key, size)
    for key, size in changed.items():
        held = key in side.taken
        if size == text(0) and held:
            side.remove(key)
        elif size != text(0) and not held:
            side.add(key)
    return [(side.text_of(key), changed[key]) for key in sorted(changed)]


def generated(levels: int, frames: int, depth: int = 1000, seed: int = 1) -> Feed:
    """Frames of about `levels` levels (2: two or three; else within 15 %) on a book of `depth` levels a side."""
    rng = random.Random(seed * 1000 + levels)
    middle = 350_000
    bids, asks = _Side(rng, middle - 2, -1, depth), _Side(rng, middle + 2, 1, depth)
    snapshot = {
        "lastUpdateId": 1000,
        "bids": [(bids.text_of(key), _size(rng)) for key in bids.keys],
        "asks": [(asks.text_of(key), _size(rng)) for key in asks.keys],
    }
    out, total, last = [], 0, 1000
    for _ in range(frames):
        count = rng.randrange(2, 4) if levels <= 3 else rng.randrange(int(levels * 0.85), int(levels * 1.15) + 1)
        on_bids = rng.randrange(count + 1) if count < 4 else count // 2 + rng.randrange(-count // 4, count // 4 + 1)
        best = ["", ""]
        if rng.random() < 0.125:  # the spread stays about as it is
            mover = rng.randrange(2) if 0 < on_bids < count else int(on_bids == 0)
            best[mover] = "improves" if bids.keys[0] + asks.keys[0] > 5 else "goes"
        changes = [_changes(rng, bids, on_bids, best[0]), _changes(rng, asks, count - on_bids, best[1])]
        first, last = last + 1, last + 1 + rng.randrange(count + 1)
        out.append(frame_bytes("BTCUSDT", first, last, *changes))
        total += count
    body = json.dumps(snapshot, separators=(",", ":")).encode()
    return Feed(f"generated, {levels} levels", "BTCUSDT", False, body, tuple(out), total)


def recorded(symbol: str = "NKNUSDT", merge_to: int = 0) -> Feed:
    """The real Binance frames of a symbol with their real snapshot.

    With `merge_to`, consecutive frames are joined into one until it has at least that many levels (of one price the
    last size counts), as a slower stream of the same market would send them.

    Raises:
        FileNotFoundError: the captures are absent.
    """
    path = captures() / "binance" / "market.jsonl.gz"
    snapshot, events, raws = b"", [], []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            record = json.loads(line)
            if record["kind"] == "http" and f"/depth?symbol={symbol}" in record["url"]:
                snapshot = record["raw"].encode()
            elif record["kind"] == "recv" and '"depthUpdate"' in record["raw"]:
                event = json.loads(record["raw"])["data"]
                if event["s"] == symbol:
                    events.append(event)
                    raws.append(record["raw"].encode())
    at = json.loads(snapshot)["lastUpdateId"]
    kept = [(e, r) for e, r in zip(events, raws, strict=True) if e["u"] > at]
    if not merge_to:
        total = sum(len(e["b"]) + len(e["a"]) for e, _ in kept)
        return Feed(f"real {symbol}, as sent", symbol, True, snapshot, tuple(r for _, r in kept), total)
    out, total, first, sides = [], 0, None, ({}, {})
    for event, _ in kept:
        first = event["U"] if first is None else first
        for side, name in zip(sides, "ba", strict=True):
            side.update((price, size) for price, size in event[name])
        if len(sides[0]) + len(sides[1]) >= merge_to:
            bids, asks = (
                sorted(side.items(), key=lambda level: float(level[0]), reverse=not i) for i, side in enumerate(sides)
            )
            out.append(frame_bytes(symbol, first, event["u"], bids, asks))
            total += len(bids) + len(asks)
            first, sides = None, ({}, {})
    return Feed(f"real {symbol}, joined to {merge_to} levels", symbol, True, snapshot, tuple(out), total)

"""A slow reader of depth frames, independent of the codec, and well-formed, random and damaged frames for it."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

import orjson

from venuemesh.model.events import Side
from venuemesh.model.fixed import to_raw
from venuemesh.orderbook.l2 import OrderBook

SYMBOLS = ["BTCUSDT", "ETHBTC", "币安人生USDT", "A"]
SCALES = [(8, 8), (2, 3), (8, 0), (10, 12)]
LEVEL = '["1.00000000","2.00000000"]'
GOOD = '{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":3,"u":4,"b":[' + LEVEL + '],"a":[]}'


@dataclass(frozen=True)
class Slow:
    """What a frame says, read with a JSON library and `model.fixed`."""

    symbol: str
    first: int
    last: int
    ts_ms: int
    bids: list[list[int]]
    asks: list[list[int]]


def numbers(levels: Any, scales: tuple[int, int]) -> list[list[int]]:
    out = []
    for level in levels:
        price, size = level
        if not isinstance(price, str) or not isinstance(size, str):
            raise TypeError("a price or size is not text")
        out.append([to_raw(price, scales[0]), to_raw(size, scales[1])])
        if out[-1][0] <= 0 or out[-1][1] < 0:
            raise ValueError("price or size cannot be")
    return out


def integer(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("not an int64")
    return value


def read_slowly(frame: bytes, scales_of: dict[str, tuple[int, int]]) -> Slow:
    """Read a frame; raise any exception if it is not a depth event of a known symbol."""
    message = orjson.loads(frame)
    if "data" in message:
        message = message["data"]
    if message["e"] != "depthUpdate" or message["U"] > message["u"]:
        raise ValueError("not a depth event")
    scales = scales_of[message["s"]]
    bids, asks = numbers(message["b"], scales), numbers(message["a"], scales)
    return Slow(message["s"], integer(message["U"]), integer(message["u"]), integer(message["E"]), bids, asks)


def state(book: OrderBook) -> tuple[object, ...]:
    return *(book.levels(side).tolist() for side in Side), book.sequence, book.proven_bids, book.proven_asks


def write(event: dict[str, Any], combined: bool = False, stream_last: bool = False) -> bytes:
    if combined:
        event = {"stream": "x@depth", "data": event} if not stream_last else {"data": event, "stream": "x@depth"}
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


def an_event(rng: random.Random, symbol: str = "BTCUSDT", levels: int = 4) -> dict[str, Any]:
    def decimal(zero: bool) -> str:
        if zero and rng.random() < 0.3:
            return rng.choice(["0.00000000", "0", "0.0", "0.000"])
        whole = str(rng.randrange(10 ** rng.randrange(1, 9)))
        if rng.random() < 0.1:
            return whole
        return f"{whole}.{rng.randrange(10**8):08d}" if rng.random() < 0.8 else f"{whole}.{rng.randrange(1, 100)}0000"

    def column() -> list[list[str]]:
        return [[decimal(False), decimal(True)] for _ in range(rng.randrange(levels + 1))]

    first = rng.choice([1, 10**9, 2**62]) + rng.randrange(1000)
    keys = {"e": "depthUpdate", "E": rng.randrange(10 ** rng.randrange(1, 13)), "s": symbol, "U": first}
    return keys | {"u": first + rng.randrange(9), "b": column(), "a": column()}


def mutate(rng: random.Random, frame: bytes) -> bytes:
    """Return the frame with one to three small damages, as networks and bugs cause them."""
    out = bytearray(frame)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(out)) if out else 0
        kind = rng.randrange(10)
        if kind == 0 and out:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and out:
            out[at] = rng.randrange(256)
        elif kind == 2:
            del out[at:]
        elif kind == 3:
            out.insert(at, rng.choice(b' \t\n\x00"0,.[]{}\\-e5\xff'))
        elif kind == 4:
            del out[at : at + rng.randrange(1, 5)]
        elif kind == 5:
            piece = out[at : at + rng.randrange(1, 40)]
            out[at:at] = piece
        elif kind == 6:
            out[at : at + 1] = rng.choice((b"\\u0030", b"1e5", b"-0", b"007", b"99999999999999999999", b"null", b"]]"))
        elif kind == 7:
            parts = bytes(out).split(b",")
            rng.shuffle(parts)
            out = bytearray(b",".join(parts))
        elif kind == 8:
            out += rng.choice((b"}", b" ", b"\n", b"\x00", b",", b"{}"))
        else:
            digits = [i for i, c in enumerate(out) if 48 <= c < 58]
            if digits:
                out[rng.choice(digits)] = rng.choice(b"0123456789")
    return bytes(out)

"""The recorded book frames of Kraken, Bybit and OKX, for the benchmark.

OKX was recorded in 2022: its frames get the numbers of today's format (`seqId`, `prevSeqId`), counted here.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

from .wire_to_book_frames import Feed, captures

Rows = list[list[str]]


def _messages(name: str) -> list[tuple[bytes, Any]]:
    with gzip.open(captures() / name, "rt") as lines:
        records = [json.loads(line) for line in lines]
    raws = [record["raw"].encode() for record in records if record["kind"] == "recv"]
    # numbers stay text, as they were written
    return [(raw, json.loads(raw, parse_float=str)) for raw in raws]


def _snapshot(bids: Rows, asks: Rows) -> bytes:
    return json.dumps({"lastUpdateId": 0, "bids": bids, "asks": asks}, separators=(",", ":")).encode()


def kraken() -> Feed:
    (_, first), *rest = _messages("kraken/book_v2.jsonl.gz")
    book = first["data"][0]
    bids, asks = ([[str(row["price"]), str(row["qty"])] for row in book[side]] for side in ("bids", "asks"))
    levels = sum(len(message["data"][0]["bids"]) + len(message["data"][0]["asks"]) for _, message in rest)
    frames = tuple(raw for raw, _ in rest)
    name = "real BTC/USD of Kraken, as sent"
    return Feed(name, "BTC/USD", True, _snapshot(bids, asks), frames, levels, "kraken", (1, 8), 10)


def bybit() -> Feed:
    (_, first), *rest = _messages("bybit/orderbook_500.jsonl.gz")
    levels = sum(len(message["data"]["b"]) + len(message["data"]["a"]) for _, message in rest)
    snapshot = _snapshot(first["data"]["b"], first["data"]["a"])
    frames = tuple(raw for raw, _ in rest)
    return Feed("real XRPUSDT of Bybit, as sent", "XRPUSDT", True, snapshot, frames, levels, "bybit", (4, 0), 500)


def okx(symbol: str = "BTC-USD-220527") -> Feed:
    snapshot, frames, levels = b"", [], 0
    for _, message in _messages("okx/market.jsonl.gz"):
        if "data" not in message or message["arg"] != {"channel": "books", "instId": symbol}:
            continue
        (book,) = message["data"]
        if message["action"] == "snapshot":
            snapshot = _snapshot([row[:2] for row in book["bids"]], [row[:2] for row in book["asks"]])
            continue
        book |= {"seqId": len(frames) + 2, "prevSeqId": len(frames) + 1}
        frames.append(json.dumps(message, separators=(",", ":")).encode())
        levels += len(book["bids"]) + len(book["asks"])
    name = f"real {symbol} of OKX, numbered"
    return Feed(name, symbol, True, snapshot, tuple(frames), levels, "okx", (1, 0), 400)


def of_other_exchanges() -> list[Feed]:
    """Return the feeds of Kraken, Bybit and OKX. Raises FileNotFoundError: the captures are absent."""
    return [kraken(), bybit(), okx()]

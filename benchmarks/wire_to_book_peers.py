"""Other decoders and ordered books with the same frames. Runs in a separate environment, as a subprocess.

    python wire_to_book_peers.py FEEDS.json

FEEDS.json is {name: {"exchange": name, "snapshot": text, "frames": [text, ...]}}. First it prints one line: {"peers":
{name: null or why it is absent}, "versions": {...}}. Then it answers each line `peer TAB feed` of its input with the
nanoseconds of one replay, without the loading of the snapshot; the top of the book is read after every frame. It does
not import venuemesh: `order-book` is GPL and must not run in one process with our code.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from typing import Any

Levels = list[tuple[float, float]]
Decode = Callable[[bytes], tuple[int, Levels, Levels]]


def msgspec_decoder(exchange: str) -> Decode:
    import msgspec

    def decoder(shape: Any) -> Callable[[bytes], Any]:
        return msgspec.json.Decoder(shape, strict=False).decode

    if exchange == "kraken":
        level = msgspec.defstruct("Level", [("price", float), ("qty", float)])
        pairs = list[level]  # type: ignore[valid-type]
        book = msgspec.defstruct("Book", [("bids", pairs), ("asks", pairs), ("checksum", int)])
        whole = decoder(msgspec.defstruct("Message", [("data", list[book])]))  # type: ignore[valid-type]

        def read_kraken(raw: bytes) -> tuple[int, Levels, Levels]:
            (book,) = whole(raw).data
            return book.checksum, [(x.price, x.qty) for x in book.bids], [(x.price, x.qty) for x in book.asks]

        return read_kraken
    if exchange == "okx":
        rows = list[tuple[float, float, str, str]]
        book = msgspec.defstruct("Book", [("asks", rows), ("bids", rows), ("seqId", int)])
        whole = decoder(msgspec.defstruct("Message", [("data", list[book])]))  # type: ignore[valid-type]

        def read_okx(raw: bytes) -> tuple[int, Levels, Levels]:
            (book,) = whole(raw).data
            return book.seqId, [row[:2] for row in book.bids], [row[:2] for row in book.asks]

        return read_okx
    levels = list[tuple[float, float]]
    data = msgspec.defstruct("Data", [("u", int), ("b", levels), ("a", levels)])
    frame = decoder(msgspec.defstruct("Message", [("data", data)]))

    def read(raw: bytes) -> tuple[int, Levels, Levels]:
        event = frame(raw).data
        return event.u, event.b, event.a

    return read


def orjson_decoder(exchange: str) -> Decode:
    import orjson

    loads = orjson.loads

    def read_kraken(raw: bytes) -> tuple[int, Levels, Levels]:
        (book,) = loads(raw)["data"]
        bids = [(row["price"], row["qty"]) for row in book["bids"]]
        asks = [(row["price"], row["qty"]) for row in book["asks"]]
        return book["checksum"], bids, asks

    def read_okx(raw: bytes) -> tuple[int, Levels, Levels]:
        (book,) = loads(raw)["data"]
        bids = [(float(row[0]), float(row[1])) for row in book["bids"]]
        asks = [(float(row[0]), float(row[1])) for row in book["asks"]]
        return book["seqId"], bids, asks

    def read(raw: bytes) -> tuple[int, Levels, Levels]:
        data = loads(raw)["data"]
        bids = [(float(price), float(size)) for price, size in data["b"]]
        asks = [(float(price), float(size)) for price, size in data["a"]]
        return data["u"], bids, asks

    return {"kraken": read_kraken, "okx": read_okx}.get(exchange, read)


def with_order_book(decode: Decode) -> Callable[[dict[str, Any]], Callable[[list[bytes]], None]]:
    from order_book import OrderBook

    def load(snapshot: dict[str, Any]) -> Callable[[list[bytes]], None]:
        book = OrderBook()
        book.bids = {float(price): float(size) for price, size in snapshot["bids"]}
        book.asks = {float(price): float(size) for price, size in snapshot["asks"]}

        def replay(frames: list[bytes]) -> None:
            bids, asks = book.bids, book.asks
            for raw in frames:
                _, new_bids, new_asks = decode(raw)
                for price, size in new_bids:
                    if size:
                        bids[price] = size
                    elif price in bids:
                        del bids[price]
                for price, size in new_asks:
                    if size:
                        asks[price] = size
                    elif price in asks:
                        del asks[price]
                bids.index(0)
                asks.index(0)

        return replay

    return load


def with_sorted_dict(decode: Decode) -> Callable[[dict[str, Any]], Callable[[list[bytes]], None]]:
    from sortedcontainers import SortedDict

    def load(snapshot: dict[str, Any]) -> Callable[[list[bytes]], None]:
        bids = SortedDict({float(price): float(size) for price, size in snapshot["bids"]})
        asks = SortedDict({float(price): float(size) for price, size in snapshot["asks"]})

        def replay(frames: list[bytes]) -> None:
            for raw in frames:
                _, new_bids, new_asks = decode(raw)
                for price, size in new_bids:
                    if size:
                        bids[price] = size
                    else:
                        bids.pop(price, None)
                for price, size in new_asks:
                    if size:
                        asks[price] = size
                    else:
                        asks.pop(price, None)
                bids.peekitem(-1)
                asks.peekitem(0)

        return replay

    return load


PEERS: dict[str, tuple[Callable[[str], Decode], Callable[[Decode], Any]]] = {
    "msgspec + order-book": (msgspec_decoder, with_order_book),
    "orjson + order-book": (orjson_decoder, with_order_book),
    "msgspec + SortedDict": (msgspec_decoder, with_sorted_dict),
    "orjson + SortedDict": (orjson_decoder, with_sorted_dict),
}


def main() -> None:
    with open(sys.argv[1]) as file:
        loaded = json.load(file)
    feeds = {
        name: (feed["exchange"], json.loads(feed["snapshot"]), [frame.encode() for frame in feed["frames"]])
        for name, feed in loaded.items()
    }
    exchanges = {feed["exchange"] for feed in loaded.values()}
    ready, absent, versions = {}, {}, {}
    for name, (decoder, book) in PEERS.items():
        try:
            ready[name] = {exchange: book(decoder(exchange)) for exchange in exchanges}
            absent[name] = None
        except ImportError as error:
            absent[name] = str(error)
    for name in ("order-book", "msgspec", "orjson", "sortedcontainers"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    print(json.dumps({"peers": absent, "versions": versions, "python": sys.version.split()[0]}), flush=True)
    for line in sys.stdin:
        peer, feed = line.rstrip("\n").split("\t")
        exchange, snapshot, frames = feeds[feed]
        replay = ready[peer][exchange](snapshot)
        start = time.thread_time_ns()
        replay(frames)
        print(time.thread_time_ns() - start, flush=True)


if __name__ == "__main__":
    main()

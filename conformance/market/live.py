"""Checks against a running exchange: its instrument list, a snapshot, a live book, and the replay of its recording."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ...actors.recording.record import record
from ...actors.recording.replay import replay
from ...connectors import registry
from ...connectors.market_codec import Codec
from ...connectors.transport import Rest
from ...model.errors import DataError, UnknownInstrument
from ...model.http import HttpRequest, HttpResponse
from ...model.instrument import Instrument
from ...model.spelling import similar_pairs
from ...orderbook.l2 import OrderBook
from ..runner import Outcome, Result

SNAPSHOT = 100  # levels a side, if the exchange has that many
TITLES = (
    ("live_instruments", "The codec reads the exchange's own list; every pair has one name and one symbol."),
    ("live_snapshot", "A snapshot fits the scales and loads into a book that is not crossed."),
    ("live_book", "A book is LIVE after some seconds of the feed, without a gap."),
    ("live_replay", "The recording of the feed gives the same book by both paths and is never crossed."),
)


def plan(codec: Codec, pair: str) -> list[tuple[str, tuple[tuple[str, int], ...]]]:
    """Describe each request of a live run, with its cost per limit."""
    base, _, quote = pair.partition("-")
    stand_in = Instrument(codec.spec.exchange, pair, base + quote, base, quote, 8, 8)
    requests: list[tuple[str, HttpRequest]] = [
        ("instrument list, twice", codec.instruments_request()),
        *(
            (f"snapshot of {levels} levels", codec.snapshot_request(stand_in, levels))
            for levels in (_few(codec), codec.snapshot_limit)  # used by `live_snapshot` and by the recorder
        ),
    ]
    rows = [(f"{request.method} {request.url.partition('?')[0]}: {what}", request.cost) for what, request in requests]
    rows[0] = (rows[0][0], tuple((limit, 2 * amount) for limit, amount in rows[0][1]))
    return [*rows, (f"websocket {codec.ws_url()}: book and trades of {pair}", (("connections", 1),))]


async def run_live(
    exchange: str, pair: str | None = None, rest: str | None = None, ws: str | None = None, seconds: float = 5.0
) -> AsyncIterator[Result]:
    """Run the live checks of an installed connector and yield each result at once.

    `pair` defaults to the first example pair that the exchange lists as trading.

    Raises:
        UnknownExchange, UnknownInstrument, Misconfigured: no check can run.
        RetryLater, OutcomeUnknown, Rejected: the exchange refused or did not answer; earlier results stay valid.
    """
    codec = registry.connector(exchange).codec(rest, ws)
    client = Rest(timeout_s=10.0)
    try:
        began = time.perf_counter()
        listed = await _listed(codec, client)
        yield _result(0, began, _names_wrong(listed), f"{len(listed)} listed")
        instrument = choose(codec, listed, pair)
        began = time.perf_counter()
        wrong, detail = await _snapshot(codec, client, instrument)
        yield _result(1, began, wrong, detail)
    finally:
        await client.close()
    with tempfile.TemporaryDirectory(prefix="venuemesh-") as folder:
        file = Path(folder) / "live.jsonl.zst"
        began = time.perf_counter()
        ended = (await record(exchange, [instrument.name], file, seconds=seconds, rest=rest, ws=ws))["pairs"]
        row = ended[instrument.name]
        wrong = None
        if row["state"] != "LIVE":
            wrong = f"{instrument.name} is {row['state']} after {seconds:g} s, expected LIVE"
        elif row["gaps"]:
            wrong = f"{instrument.name} had {row['gaps']} gaps in {seconds:g} s, expected none"
        yield _result(2, began, wrong, f"{instrument.name}: {row['applied']} deltas, {row['trades']} trades")
        began = time.perf_counter()
        fast, slow = (replay([file], exchange, path=path) for path in ("fast", "slow"))
        yield _result(3, began, _replay_wrong(fast, slow), "both paths give the same book")


def _few(codec: Codec) -> int:
    return min(SNAPSHOT, codec.spec.max_snapshot)


async def _listed(codec: Codec, client: Rest) -> list[Instrument]:
    response = await _send(codec, client, codec.instruments_request())
    return codec.instruments(response.body)


async def _send(codec: Codec, client: Rest, request: HttpRequest) -> HttpResponse:
    response = await client.send(request)
    error = codec.failure(response)
    if error is not None:
        raise error
    return response


def choose(codec: Codec, listed: list[Instrument], pair: str | None) -> Instrument:
    """Return the requested pair, or the first example pair that trades, or the first pair that trades.

    Raises:
        UnknownInstrument: the exchange does not list the requested pair as trading, or no pair trades.
    """
    trading = {instrument.name: instrument for instrument in listed if instrument.is_trading}
    wanted = [pair] if pair is not None else [*codec.spec.example_pairs, *list(trading)[:1]]
    for name in wanted:
        if name in trading:
            return trading[name]
    similar = similar_pairs(pair or "", trading)
    raise UnknownInstrument(codec.spec.exchange, pair or "any", "the exchange does not list it as trading", similar)


def _names_wrong(listed: list[Instrument]) -> str | None:
    for field in ("name", "symbol"):
        twice = _repeated([getattr(instrument, field) for instrument in listed])
        if twice is not None:
            return f"two instruments have the {field} {twice!r}"
    return None if listed else "the exchange lists no instrument"


def _repeated(texts: list[str]) -> str | None:
    seen: set[str] = set()
    for text in texts:
        if text in seen:
            return text
        seen.add(text)
    return None


async def _snapshot(codec: Codec, client: Rest, instrument: Instrument) -> tuple[str | None, str]:
    response = await _send(codec, client, codec.snapshot_request(instrument, _few(codec)))
    book = OrderBook(instrument.price_scale, instrument.size_scale)
    try:
        read = codec.snapshot(instrument, response.body, _few(codec), response.recv_ns)
        book.load(read.bids, read.asks, read.sequence, read.bids_complete, read.asks_complete)
    except DataError as error:
        return f"{instrument.name}: {error}", ""
    return None, f"{instrument.name}: {book.n_bids} bids, {book.n_asks} asks"


def _replay_wrong(fast: dict[str, Any], slow: dict[str, Any]) -> str | None:
    if fast != slow:
        return "the fast and the slow path end with different books"
    crossed = {symbol: row["book"]["crossed_after"] for symbol, row in fast.items() if row["book"]["crossed_after"]}
    return f"the book was crossed after a delta: {crossed}" if crossed else None


def _result(number: int, began: float, wrong: str | None, detail: str) -> Result:
    name, title = TITLES[number]
    outcome = Outcome.PASSED if wrong is None else Outcome.FAILED
    return Result(name, title, outcome, detail if wrong is None else wrong, time.perf_counter() - began)

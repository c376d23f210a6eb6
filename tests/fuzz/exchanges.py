"""The readers of each exchange's bytes: frames, REST bodies, answers to orders, and the user stream.

They follow from the connector's protocols, so a new connector has them without a line here; its market seeds are its
samples, and its trading seeds are recorded by `record_seeds`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from tests.fakes.both_readers import BothReaders
from venuemesh.connectors.market_codec import (
    Codec,
    Connector,
    DialedByRequest,
    OrderLevelConnector,
    ServesCandles,
)
from venuemesh.connectors.order_codec import (
    Batches,
    DeadManSwitch,
    Draft,
    JoinsQueries,
    Never,
    OpensCalls,
    Reply,
    Signed,
    TradingCodec,
    UsesTokens,
    trading_connector,
)
from venuemesh.connectors.registry import connector, known
from venuemesh.connectors.samples import MarketDataSamples
from venuemesh.connectors.spec import BookSource
from venuemesh.model.errors import BookError, DecodeError, MeshError, NotOffered, RetryLater
from venuemesh.model.events import Side
from venuemesh.model.http import HttpResponse
from venuemesh.model.instrument import Instrument
from venuemesh.model.order import TERMINAL, NewOrder, OrderStatus, OrderType, TimeInForce, as_order
from venuemesh.orderbook.l2 import OrderBook

from . import order_level
from .reader import Reader

SEEDS = Path(__file__).parent / "seeds"
NOW_NS = 1_700_000_000_123_456_789
LONGEST_WAIT_S = 4 * 86_400.0
BATCH = 3  # orders of a batch
STATUSES = (200, 200, 200, 400, 401, 404, 418, 429, 500, 503)


def kinds() -> dict[str, list[str]]:
    """Return the connectors by their codec: exchanges that share all their code share their readers."""
    found: dict[tuple[type, type | None, Any], list[str]] = {}
    for name in known():
        one = connector(name)
        trades = callable(getattr(one, "trading", None))
        trading = trading_connector(one).trading() if trades else None
        found.setdefault((type(one.codec()), type(trading), one.spec.gzip), []).append(name)
    mains = {
        min(names, key=lambda name: (connector(name).spec.sister_of is not None, name)): names
        for names in found.values()
    }
    return dict(sorted(mains.items()))


def readers(exchange: str) -> list[Reader]:
    one = connector(exchange)
    samples = one.samples() if hasattr(one, "samples") else None
    assert samples is not None, f"{exchange} has no samples"
    found = list(_market(one, samples))
    if callable(getattr(one, "trading", None)):
        found += _trading(exchange, one, samples)
    return found


def instruments(one: Connector, samples: MarketDataSamples) -> list[Instrument]:
    """Return the instruments of the samples, the sample pair first."""
    listed = list(one.codec().instruments(samples.instruments))
    return sorted(listed, key=lambda instrument: instrument.name != samples.pair)


# --- market data ----------------------------------------------------------------------------------------------------


def _market(one: Connector, samples: MarketDataSamples) -> Iterator[Reader]:
    name, listed = one.name, instruments(one, samples)
    codec = one.codec()
    codec.bind(listed)
    codec.instruments(samples.instruments)
    from_rest = codec.spec.book.source is BookSource.REST
    book = samples.snapshot if from_rest else samples.rest_book
    frames = (
        *(() if from_rest else (samples.snapshot,)),
        *samples.deltas,
        *(frame for frame in (samples.stale, samples.gap) if frame is not None),
        *(trade.frame for trade in samples.trades),
        *(frame for frame, _ in samples.acks),
        *(refusal.frame for refusal in samples.refusals),
        *samples.ignored,
        *(frame for frame, _ in samples.pings),
        *samples.closing,
        *(frame for frame, _ in (samples.candles.frames if samples.candles is not None else ())),
    )
    yield Reader(f"{name}.frame", _frame(one, listed), frames)
    yield Reader(
        f"{name}.number", _number(one, listed, samples.deltas[0]), (b"1.5", b"0", b"1e5", b"12345678.12345678")
    )
    yield Reader(f"{name}.instruments", lambda body: tuple(one.codec().instruments(body)), (samples.instruments,))
    if book is not None:
        yield Reader(f"{name}.snapshot", _snapshot(codec, listed[0], samples.snapshot_limit), (book,))
    if samples.tickers is not None:
        yield Reader(f"{name}.tickers", codec.tickers, (samples.tickers,))
    if samples.server_time is not None:
        yield Reader(f"{name}.time", codec.server_time, (samples.server_time[0],))
    if samples.candles is not None and isinstance(codec, ServesCandles):
        yield Reader(f"{name}.candles", _candles(codec, listed[0], samples.candles.interval), (samples.candles.body,))
    if isinstance(codec, DialedByRequest):
        yield Reader(f"{name}.dial", codec.dial, ())
    if isinstance(one, OrderLevelConnector) and samples.order_level is not None:
        yield from order_level.readers(name, one, listed, samples.order_level)
    errors = tuple(bytes([i % len(STATUSES)]) + b"3\n" + error.body for i, error in enumerate(samples.errors))
    yield Reader(f"{name}.failure", _failure(codec), errors or (b"\x033\n{}",), head=3)


def _frame(one: Connector, listed: list[Instrument]) -> Callable[[bytes], Any]:
    """Read a frame as a book role does: the scanner, its levels into a book, the JSON path, the symbol."""
    codec = one.codec()
    codec.bind(listed)
    both = BothReaders(codec, listed) if codec.scanner() is not None else None

    def read(frame: bytes) -> Any:
        symbol = codec.symbol_of(frame)
        assert symbol is None or isinstance(symbol, str)
        if both is not None and both.check(frame):
            try:
                both.scanner.apply()
            except BookError:
                pass
        return list(codec.decode(memoryview(frame), NOW_NS))

    return read


def _number(one: Connector, listed: list[Instrument], delta: bytes) -> Callable[[bytes], Any]:
    """Read a delta of the samples in which the input stands for every number that is a price or a size."""
    read, sample = _frame(one, listed), json.loads(delta)

    def numbers(value: Any, text: str) -> Any:
        if isinstance(value, dict):
            return {key: numbers(inner, text) for key, inner in value.items()}
        if isinstance(value, list):
            return [numbers(inner, text) for inner in value]
        is_number = isinstance(value, float) or (isinstance(value, str) and value.replace(".", "", 1).isdigit())
        return "\0" if is_number else value

    template = json.dumps(numbers(sample, ""), separators=(",", ":")).encode()
    quoted = b'"\\u0000"'
    bare = any(isinstance(value, float) for value in _leaves(sample))

    def read_number(text: bytes) -> Any:
        return read(template.replace(quoted, text if bare else b'"' + text + b'"'))

    return read_number


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


def _snapshot(codec: Codec, instrument: Instrument, limit: int) -> Callable[[bytes], Any]:
    """Read a whole book by both paths; where the scanner reads it, a book must hold the same."""
    scanner = codec.snapshot_scanner()

    def read(body: bytes) -> Any:
        scanned = scanner is not None and scanner.scan(body, instrument.price_scale, instrument.size_scale)
        try:
            found = codec.snapshot(instrument, body, limit, NOW_NS)
        except DecodeError as error:
            if scanned:
                raise AssertionError("the scanner reads what the codec cannot read") from error
            raise
        if scanned:
            assert scanner is not None
            assert _loaded(lambda book: scanner.load(book, limit), instrument) == _loaded(
                lambda book: book.load(
                    found.bids, found.asks, found.sequence, found.bids_complete, found.asks_complete
                ),
                instrument,
            )
        return found

    return read


def _loaded(load: Callable[[OrderBook], None], instrument: Instrument) -> Any:
    book = OrderBook(instrument.price_scale, instrument.size_scale)
    try:
        load(book)
    except BookError:
        return BookError
    levels = [book.levels(side).tolist() for side in Side]
    return book.sequence, levels, book.bids_complete, book.asks_complete


def _candles(codec: ServesCandles, instrument: Instrument, interval: str) -> Callable[[bytes], Any]:
    return lambda body: codec.candles(instrument, interval, _response(200, body))


def _failure(codec: Codec) -> Callable[[bytes], Any]:
    """Read a failed answer: a byte of the status, a line of `Retry-After`, the body. The error must be typed."""

    def read(data: bytes) -> Any:
        status = STATUSES[data[0] % len(STATUSES)] if data else 200
        after, _, body = data[1:].partition(b"\n")
        headers = {name: after.decode("latin-1") for name in ("retry-after", *codec.spec.used_headers)}
        response = HttpResponse(status, headers, body, NOW_NS, NOW_NS)
        limits = codec.spec.limit_answer(status, headers, body, (("weight", 1),))
        assert limits.hit is None or 0 < limits.hit.at(NOW_NS).wait_s <= LONGEST_WAIT_S, limits
        for changes in (False, True):
            error = codec.failure(response, changes)
            assert error is None or isinstance(error, MeshError), repr(error)
            assert status == 200 or error is not None
            assert not isinstance(error, RetryLater) or 0 < error.after_s <= LONGEST_WAIT_S, repr(error)
            assert error is None or len(str(error)) < 4_000
        return limits.hit, str(error)

    return read


# --- trading --------------------------------------------------------------------------------------------------------


def _response(status: int, body: bytes) -> HttpResponse:
    return HttpResponse(status, {}, body, NOW_NS, NOW_NS)


def _bound(one: Connector, listed: list[Instrument]) -> TradingCodec:
    codec = trading_connector(one).trading()
    codec.bind(listed)
    return codec


@cache
def recorded(exchange: str) -> dict[str, list[bytes]]:
    """Return the recorded seeds of an exchange's trading readers; an answer about n orders is for "reply.KIND/n".

    Answers that the suite does not see are written by hand, in `EXCHANGE.manual.jsonl`.
    """
    found: dict[str, list[bytes]] = {}
    lines = [line for path in sorted(SEEDS.glob(f"{exchange}.*jsonl")) for line in path.read_text().splitlines()]
    for row in map(json.loads, lines):
        several = f"/{row['orders']}" if row["orders"] > 1 else ""
        found.setdefault(row["reader"] + several, []).append(row["raw"].encode())
    return found


def drafts(codec: TradingCodec, instrument: Instrument) -> dict[str, Draft]:
    """Return a draft of every kind of request that the codec offers."""
    order = NewOrder("vmfuzz1", instrument.name, Side.BUY, OrderType.LIMIT, Decimal(2), Decimal(3), TimeInForce.GTC)
    other = replace(order, client_order_id="vmfuzz2", side=Side.SELL, price=Decimal(4))
    held = replace(
        as_order(order, instrument.exchange, "main", NOW_NS), status=OrderStatus.OPEN, exchange_order_id="17"
    )
    made: dict[str, Callable[[], Draft | None]] = {
        "place": lambda: codec.place(order, instrument),
        "cancel": lambda: codec.cancel(held, instrument),
        "cancel_all": lambda: codec.cancel_all(instrument),
        "amend": lambda: codec.amend(held, instrument, Decimal(1)),
        "replace": lambda: codec.replace(held, instrument, other),
        "place_list": lambda: codec.place_list(
            "OCO", [other, replace(other, client_order_id="vmfuzz3")], instrument, "l1"
        ),
        "order": lambda: codec.query("vmfuzz1", instrument),
        "open_orders": codec.open_orders,
        "fills": lambda: codec.fills(instrument, None),
        "fills_after": lambda: codec.fills_after(instrument, "1"),
        "orders": lambda: codec.orders(instrument, None),
        "account": codec.account,
        "fees": lambda: codec.fees(instrument),
        "order_counts": codec.order_counts,
    }
    names = [f"vmfuzz{number}" for number in range(1, BATCH + 1)]
    if isinstance(codec, Batches):
        orders = [replace(order, client_order_id=name) for name in names]
        made["batch_place"] = lambda: codec.batch([codec.place(one, instrument) for one in orders])
        rested = [replace(held, client_order_id=name) for name in names]
        made["batch_cancel"] = lambda: codec.batch([codec.cancel(one, instrument) for one in rested])
    if isinstance(codec, JoinsQueries):
        made["joined"] = lambda: codec.join_queries([codec.query(name, instrument, f"T{name}") for name in names])
    if isinstance(codec, UsesTokens):
        made["token"] = codec.token
    if isinstance(codec, DeadManSwitch):
        made["dead_man"] = lambda: codec.dead_man(60)
    found: dict[str, Draft] = {}
    for name, make in made.items():
        try:
            draft = make()
        except NotOffered:
            continue
        if draft is not None:
            found[name] = draft
    return found


def _trading(exchange: str, one: Connector, samples: MarketDataSamples) -> Iterator[Reader]:
    listed, seeds = instruments(one, samples), recorded(exchange) or recorded(one.spec.sister_of or "")
    requests = drafts(_bound(one, listed), listed[0])
    by_kind: dict[str, list[bytes]] = {}
    for reader, raws in seeds.items():
        if reader.startswith("reply."):
            kind, _, status = reader.removeprefix("reply.").partition("/")[0].partition(":")
            at = STATUSES.index(int(status)) if status and int(status) in STATUSES else 0
            by_kind.setdefault(kind, []).extend(bytes([at]) + raw for raw in raws)
    every = [raw for raws in by_kind.values() for raw in raws]  # for a request that the local exchange was not sent
    for number, (name, draft) in enumerate(requests.items()):
        given = by_kind.get(draft.kind.value) or every
        yield Reader(
            f"{exchange}.reply.{name}",
            _reply(one, listed, draft, number),
            tuple(given),
            (MeshError,),
            repeats=False,
            head=1,
            stored=True,
        )
    yield Reader(f"{exchange}.stream", _stream(one, listed), tuple(seeds.get("stream", ())), repeats=False, stored=True)
    calls = tuple(seeds.get("calls", ())) or (b'{"id":"fuzz-0","status":200,"result":{}}',)
    yield Reader(f"{exchange}.calls", _calls(one, listed, list(requests.values())), calls, (MeshError,), repeats=False)


def _reply(one: Connector, listed: list[Instrument], draft: Draft, number: int) -> Callable[[bytes], Any]:
    """Read a byte of the status and a body as the answer to one request."""
    signed = Signed(draft, f"fuzz-{number}", Never(), "", "")

    def read(data: bytes) -> Any:
        status = STATUSES[data[0] % len(STATUSES)] if data else 200
        try:
            reply = _bound(one, listed).reply(signed, _response(status, data[1:]))
        except RetryLater as error:
            if not 0 < error.after_s <= LONGEST_WAIT_S:
                raise AssertionError(f"waits {error.after_s} s") from error
            raise
        assert status < 400 or reply.absent or _states_ends(reply), f"status {status} is read as {reply!r:.200}"
        return replace(reply, then=None)

    return read


def _states_ends(reply: Reply) -> bool:
    """Whether an answer states only orders that ended without a fill, as a refusal may (Binance's -2026)."""
    ends = [one.status in TERMINAL and not one.filled and not one.fills for one in reply.orders]
    return len(ends) > 0 and all(ends)


def _stream(one: Connector, listed: list[Instrument]) -> Callable[[bytes], Any]:
    codec = _bound(one, listed)
    return lambda frame: list(codec.stream_decode(memoryview(frame), NOW_NS))


def _calls(one: Connector, listed: list[Instrument], requests: list[Draft]) -> Callable[[bytes], Any]:
    """Read an answer on the websocket of orders, and then its body as the answer to each kind of change."""
    codec = _bound(one, listed)
    changes = [Signed(draft, "fuzz-0", Never(), "", "") for draft in requests if draft.changes]

    def read(frame: bytes) -> Any:
        if isinstance(codec, OpensCalls) and (opened := codec.call_opened(frame)) is not None:
            return opened
        answer = codec.call_answer(memoryview(frame))
        if answer is None:
            return None
        response = HttpResponse(answer.status, answer.headers, answer.body, NOW_NS, NOW_NS)
        for signed in changes:
            try:
                codec.reply(signed, response)
            except MeshError:
                continue
        return answer

    return read

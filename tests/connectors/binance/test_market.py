"""The codec by the manual: every message kind, every refusal, every malformed body.

Messages are in the shapes of web-socket-streams.md and rest-api.md (binance/binance-spot-api-docs, read 2026-11-22).
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import orjson
import pytest

from tests.fakes.captures import captures
from venuemesh.actors.recording.file import read
from venuemesh.connectors.binance import BINANCE_US, CONNECTOR
from venuemesh.connectors.binance.market import BinanceCodec
from venuemesh.connectors.market_codec import Expected, SnapshotKey, Verdict
from venuemesh.model.errors import DecodeError, Misconfigured, OutcomeUnknown, Rejected, RetryLater
from venuemesh.model.events import (
    DepthDelta,
    GoingAway,
    Ignored,
    PublicTrade,
    Side,
    Subscribed,
    SubscribeRefused,
    Ticker,
)
from venuemesh.model.http import HttpResponse
from venuemesh.model.instrument import Instrument

BNBBTC = Instrument("binance", "BNB-BTC", "BNBBTC", "BNB", "BTC", 8, 8)
MS = 1672515782136
DELTA = {
    "e": "depthUpdate",
    "E": MS,
    "s": "BNBBTC",
    "U": 157,
    "u": 160,
    "b": [["0.0024", "10"]],
    "a": [["0.0026", "100"], ["0.0027", "0.00000000"]],
}
TRADE = {"e": "trade", "E": MS, "s": "BNBBTC", "t": 12345, "p": "0.001", "q": "100", "T": MS + 1, "m": True, "M": True}
BOOK_TICKER = {"u": 400900217, "s": "BNBBTC", "b": "25.3519", "B": "31.21", "a": "25.3652", "A": "40.66"}
SHUTDOWN = {"e": "serverShutdown", "E": MS}


@pytest.fixture
def codec() -> BinanceCodec:
    made = CONNECTOR.codec()
    made.bind([BNBBTC])
    return made


def dumps(message: object) -> bytes:
    return json.dumps(message).encode()


def decode(codec: BinanceCodec, message: object):
    (event,) = codec.decode(dumps(message), 7)
    return event


@pytest.mark.parametrize(
    "wrap", [lambda m: m, lambda m: {"stream": "bnbbtc@depth", "data": m}], ids=["raw", "combined"]
)
def test_messages_in_raw_and_combined_form(codec, wrap):
    delta = decode(codec, wrap(DELTA))
    assert isinstance(delta, DepthDelta)
    assert (delta.symbol, delta.first, delta.last) == ("BNBBTC", 157, 160)
    assert (delta.ts_event_ns, delta.ts_recv_ns) == (MS * 1_000_000, 7)
    assert delta.bids.tolist() == [[240_000, 1_000_000_000]]
    assert delta.asks.tolist() == [[260_000, 10_000_000_000], [270_000, 0]]
    assert delta.bids.dtype == np.int64
    assert decode(codec, wrap(TRADE)) == PublicTrade(
        "BNBBTC", 12345, 100_000, 10_000_000_000, Side.SELL, (MS + 1) * 1_000_000, 7
    )
    assert decode(codec, wrap(BOOK_TICKER)) == Ticker(
        "BNBBTC", 400900217, (2535190000, 3121000000), (2536520000, 4066000000), 7
    )
    assert decode(codec, wrap(SHUTDOWN)) == GoingAway(MS * 1_000_000)


def test_an_aggregated_trade_has_its_own_id_and_the_taker_side(codec):
    message = {**TRADE, "e": "aggTrade", "a": 99, "f": 100, "l": 105, "m": False}
    del message["t"]
    trade = decode(codec, message)
    assert (trade.trade_id, trade.side) == (99, Side.BUY)


def test_a_side_without_orders_is_none_in_the_ticker(codec):
    assert decode(codec, {**BOOK_TICKER, "b": "0.00", "B": "0.00"}).bid is None


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"result": None, "id": 1}, Subscribed(1)),
        ({"result": None, "id": "abc"}, Subscribed("abc")),
        ({"result": ["btcusdt@aggTrade"], "id": 3}, Ignored("result")),
        ({"result": True, "id": 2}, Ignored("result")),
        (
            {"code": 2, "msg": "Invalid request: too many parameters"},
            SubscribeRefused(None, "2", "Invalid request: too many parameters"),
        ),
        ({"code": 0, "msg": "Unknown property", "id": 4}, SubscribeRefused(4, "0", "Unknown property")),
        ({"error": {"code": 3, "msg": "Invalid JSON"}, "id": 9}, SubscribeRefused(9, "3", "Invalid JSON")),
        ({"e": "kline", "E": MS, "s": "NO", "k": {}}, Ignored("kline")),
        ({"e": "24hrTicker", "s": "BNBBTC"}, Ignored("24hrTicker")),
        ({"e": "blockTrade", "s": "BNBBTC"}, Ignored("blockTrade")),
        ({"e": "invented next year"}, Ignored("invented next year")),
        ([{"e": "24hrMiniTicker", "s": "BNBBTC"}], Ignored("array")),
        ({"lastUpdateId": 160, "bids": [["0.0024", "10"]], "asks": []}, Ignored("partialDepth")),
        ({**DELTA, "s": "ETHBTC"}, Ignored("depthUpdate")),  # a frame on its way when the pair was left
        ({**BOOK_TICKER, "s": "ETHBTC"}, Ignored("bookTicker")),
    ],
)
def test_unused_answers_and_messages(codec, message, event):
    assert decode(codec, message) == event


def without(message: dict, key: str) -> dict:
    return {k: v for k, v in message.items() if k != key}


@pytest.mark.parametrize(
    "message",
    [
        *(without(DELTA, key) for key in "EsUuba"),
        *(without(TRADE, key) for key in "stpqTm"),
        {**DELTA, "U": 161},
        {**DELTA, "U": "157"},
        {**DELTA, "u": 160.0},
        {**DELTA, "u": 2**63},
        {**DELTA, "u": -1},
        {**DELTA, "U": True},
        {**DELTA, "E": None},
        {**DELTA, "E": 2**62},
        {**DELTA, "b": None},
        {**DELTA, "b": {}},
        {**DELTA, "b": [["1"]]},
        {**DELTA, "b": [["1", "2", "3"]]},
        {**DELTA, "b": [[1.5, 2]]},
        {**DELTA, "b": ["12"]},
        {**DELTA, "b": [["0x1", "2"]]},
        {**DELTA, "b": [["1_0", "2"]]},
        {**DELTA, "b": [["NaN", "2"]]},
        {**DELTA, "b": [["0.123456789", "2"]]},
        {**DELTA, "b": [["99999999999999999999", "2"]]},
        {**DELTA, "s": ["BNBBTC"]},
        {**TRADE, "m": "true"},
        {**TRADE, "t": "12345"},
        {**TRADE, "p": 1},
        {"e": 7},
        {"e": None},
        {},
        {"stream": "x"},
        {"stream": "x", "data": 7},
        {"result": None},
        {"code": 2},
        {"error": "text", "id": 1},
        7,
        None,
        "text",
    ],
)
def test_a_missing_or_wrong_field_is_an_error(codec, message):
    with pytest.raises(DecodeError) as caught:
        codec.decode(dumps(message), 7)
    assert len(caught.value.excerpt) <= 200


@pytest.mark.parametrize(
    "frame",
    [b"", b"{", dumps(DELTA)[:-1], dumps(DELTA) + b"x", b"\xff\xfe", b"NaN", dumps(DELTA).replace(b"160", b"0160")],
)
def test_bytes_that_are_not_json_are_an_error(codec, frame):
    with pytest.raises(DecodeError):
        codec.decode(frame, 7)


def test_memoryviews_are_read_like_bytes(codec):
    assert codec.decode(memoryview(dumps(TRADE)), 7) == codec.decode(dumps(TRADE), 7)


@dataclass(frozen=True)
class Numbers:
    """The numbers of an event."""

    first: int
    last: int
    previous: int | None = None


# How to manage a local order book correctly, step by step. The book is at 100.
@pytest.mark.parametrize(
    ("first", "last", "verdict", "why"),
    [
        (90, 95, Verdict.STALE, "5: discard any event where u is <= lastUpdateId"),
        (96, 100, Verdict.STALE, "5: u equal to it too"),
        (100, 100, Verdict.STALE, "5"),
        (95, 105, Verdict.APPLY, "5: the first event left has lastUpdateId within its [U;u] range"),
        (100, 101, Verdict.APPLY, "5: within, at its beginning"),
        (101, 101, Verdict.APPLY, "7: normally U is the previous u + 1"),
        (101, 140, Verdict.APPLY, "7"),
        (102, 102, Verdict.GAP, "7: U is greater than the update id + 1: some events were missed"),
        (102, 140, Verdict.GAP, "4: a snapshot older than the first event: get another"),
        (5000, 5001, Verdict.GAP, "7"),
    ],
)
@pytest.mark.parametrize("joined", [False, True])
def test_the_rule_by_the_manuals_steps(codec, first, last, verdict, why, joined):
    assert codec.classify(100, Numbers(first, last), joined) is verdict, why


def test_requests_say_what_the_manual_asks(codec):
    (one,) = codec.subscribe([BNBBTC], 5)
    assert one.expects == (Expected(5, ("BNBBTC",)),)
    assert orjson.loads(one.frame) == {"method": "SUBSCRIBE", "params": ["bnbbtc@depth@100ms", "bnbbtc@trade"], "id": 5}
    (one,) = CONNECTOR.codec(depth_speed="1000ms").unsubscribe([BNBBTC], 6)
    assert orjson.loads(one.frame) == {"method": "UNSUBSCRIBE", "params": ["bnbbtc@depth", "bnbbtc@trade"], "id": 6}
    many = codec.subscribe([BNBBTC] * 250, 10)
    assert [orjson.loads(message.frame)["id"] for message in many] == [10, 11, 12]
    assert sum(len(orjson.loads(message.frame)["params"]) for message in many) == 500
    assert codec.ws_url() == "wss://stream.binance.com:9443/ws"
    for wrong in ({"depth_speed": "10ms"}, {"snapshot_limit": 0}, {"snapshot_limit": 5001}, {"snapshot_limit": "500"}):
        with pytest.raises(Misconfigured):
            CONNECTOR.codec(**wrong)
    assert codec.snapshot_limit == 1000
    assert CONNECTOR.codec(snapshot_limit=50).snapshot_limit == 50


@pytest.mark.parametrize(
    ("limit", "weight"),
    [(1, 5), (100, 5), (101, 25), (500, 25), (501, 50), (1000, 50), (1001, 250), (5000, 250), (9000, 250)],
)
def test_a_snapshot_costs_by_its_limit(codec, limit, weight):
    request = codec.snapshot_request(BNBBTC, limit)
    assert request.url == f"https://api.binance.com/api/v3/depth?symbol=BNBBTC&limit={min(limit, 5000)}"
    assert request.cost == (("weight", weight),)
    assert codec.recognise(request.url) == SnapshotKey("BNBBTC", min(limit, 5000))


def test_other_costs_and_urls(codec):
    assert codec.instruments_request().cost == (("weight", 20),)
    assert codec.tickers_request().cost == (("weight", 80),)
    assert codec.recognise(codec.instruments_request().url) == "instruments"
    assert codec.recognise("https://api.binance.com/api/v3/depth?symbol=BNBBTC") == SnapshotKey("BNBBTC", 100)
    assert codec.recognise("https://api.binance.com/api/v3/depth") is None
    assert codec.recognise("https://elsewhere.test/") is None
    assert CONNECTOR.codec(rest="http://127.0.0.1:1/", ws="ws://127.0.0.1:2/").ws_url() == "ws://127.0.0.1:2/ws"


def answer(status: int, body: object = None, **headers: str) -> HttpResponse:
    raw = body if isinstance(body, bytes) else dumps(body)
    return HttpResponse(status, {k.replace("_", "-"): v for k, v in headers.items()}, raw, 0, 0)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (answer(200, {}), None),
        (
            answer(429, {"code": -1003, "msg": "Too many"}, retry_after="7"),
            RetryLater(7.0, "HTTP 429, -1003: Too many (Retry-After: 7)"),
        ),
        (
            answer(418, {"code": -1003, "msg": "Banned"}, retry_after="180"),
            RetryLater(180.0, "HTTP 418, -1003: Banned (Retry-After: 180)"),
        ),
        (answer(418, b"<html>", retry_after="soon"), RetryLater(120.0, "HTTP 418, 418: <html> (Retry-After: soon)")),
        (answer(429, b""), RetryLater(60.0, "HTTP 429, 429: no reason given")),
        (answer(400, {"code": -1121, "msg": "Invalid symbol."}), Rejected("-1121", "Invalid symbol.")),
        (answer(404, b"<html>gone</html>"), Rejected("404", "<html>gone</html>")),
        (answer(400, {"code": -1008, "msg": "Overloaded"}), RetryLater(1.0, "HTTP 400, -1008: Overloaded")),
        (answer(500, {"code": -1000, "msg": "?"}), RetryLater(1.0, "HTTP 500, -1000: ?")),
        (answer(504, b"timeout"), RetryLater(1.0, "HTTP 504, 504: timeout")),
        (answer(302, b"moved"), DecodeError("HTTP 302 is not an answer of this exchange", "moved")),
    ],
)
def test_failures_are_typed_by_what_the_caller_can_do(codec, response, error):
    assert codec.failure(response) == error


def test_a_5xx_of_what_changes_something_is_unknown(codec):
    found_error = codec.failure(answer(503, {"code": -1006, "msg": "?"}), changes=True)
    assert isinstance(found_error, OutcomeUnknown)


SYMBOL = {
    "symbol": "ETHBTC",
    "status": "TRADING",
    "baseAsset": "ETH",
    "quoteAsset": "BTC",
    "orderTypes": ["LIMIT", "MARKET"],
    "filters": [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "0.00000100",
            "maxPrice": "100000.00000000",
            "tickSize": "0.00000100",
        },
        {"filterType": "LOT_SIZE", "minQty": "0.00100000", "maxQty": "100000.00000000", "stepSize": "0.00100000"},
        {"filterType": "NOTIONAL", "minNotional": "10.00000000", "maxNotional": "10000.00000000"},
    ],
}


def test_an_instrument_with_its_rules(codec):
    (found,) = codec.instruments(dumps({"symbols": [SYMBOL]}))
    assert found == Instrument(
        "binance",
        "ETH-BTC",
        "ETHBTC",
        "ETH",
        "BTC",
        8,
        8,
        price_increment=Decimal("0.00000100"),
        size_increment=Decimal("0.00100000"),
        min_price=Decimal("0.00000100"),
        max_price=Decimal(100000),
        min_size=Decimal("0.001"),
        max_size=Decimal(100000),
        min_notional=Decimal(10),
        max_notional=Decimal(10000),
        order_types=("LIMIT", "MARKET"),
    )


def test_rules_that_are_zero_or_absent_become_none(codec):
    rules = [{"filterType": "PRICE_FILTER", "minPrice": "0", "maxPrice": "0.00000000", "tickSize": "0"}]
    (found,) = codec.instruments(dumps({"symbols": [{**SYMBOL, "status": "CANCEL_ONLY", "filters": rules}]}))
    assert (found.price_increment, found.max_price, found.size_increment, found.min_notional) == (None,) * 4
    assert not found.is_trading


def test_scales_shrink_where_sizes_are_huge(codec):
    lot = {"filterType": "LOT_SIZE", "minQty": "1.00", "maxQty": "46116860414.00", "stepSize": "1.00"}
    (found,) = codec.instruments(dumps({"symbols": [{**SYMBOL, "filters": [lot]}]}))
    assert found.size_scale == 5
    assert found.size_raw("1000000000.00000000") == 10**14


@pytest.mark.parametrize(
    "odd",
    [
        {"orderTypes": None},
        {"orderTypes": ["LIMIT", None]},
        {"filters": None},
        {"filters": [{"filterType": "LOT_SIZE", "minQty": ""}]},
        {"status": None},
        {"status": 7, "quoteAsset": 7},
        {"baseAsset": ""},
        {"symbol": 3},
    ],
)
def test_an_unreadable_row_of_the_list_does_not_affect_other_pairs(codec, odd):
    row = {**SYMBOL, "symbol": "ODDUSDT", "baseAsset": "ODD", **odd}
    found = codec.instruments(dumps({"symbols": [row, SYMBOL]}))
    assert [one.symbol for one in found] == [SYMBOL["symbol"]]
    (left_out,) = found.left_out
    assert left_out.name == (None if odd == {"symbol": 3} else "ODDUSDT")
    assert left_out.is_unreadable


def test_of_two_symbols_of_one_pair_the_one_that_trades_is_kept(codec):
    closed = {**SYMBOL, "symbol": "OLD", "status": "BREAK"}
    for rows in ([closed, SYMBOL], [SYMBOL, closed]):
        found = codec.instruments(dumps({"symbols": rows}))
        assert [one.symbol for one in found] == [SYMBOL["symbol"]]
        assert [(one.name, one.is_unreadable) for one in found.left_out] == [("OLD", False)]


def test_a_pair_with_several_symbols_keeps_the_one_that_is_known(codec):
    halted, new = {**SYMBOL, "status": "BREAK"}, {**SYMBOL, "symbol": "NEW"}
    (known,) = codec.instruments(dumps({"symbols": [SYMBOL]}))
    found = codec.instruments(dumps({"symbols": [halted, new, {**SYMBOL, "symbol": "NEWER"}]}))
    assert [one.symbol for one in found] == ["NEW"]
    kept = found.keeping({known.name: known})
    assert [(one.symbol, one.status) for one in kept] == [(known.symbol, "BREAK")]
    reason = f"is a second {known.name}, besides {known.symbol}"
    assert {one.name: one.reason for one in kept.left_out} == dict.fromkeys(("NEW", "NEWER"), reason)
    assert [one.symbol for one in found.keeping({})] == ["NEW"]


def test_two_pairs_cannot_have_one_symbol(codec):
    found = codec.instruments(dumps({"symbols": [SYMBOL, {**SYMBOL, "baseAsset": "ODD"}]}))
    assert [one.base for one in found] == [SYMBOL["baseAsset"]]
    (left_out,) = found.left_out
    assert (left_out.name, f"is the symbol of {found[0].name}" in left_out.reason) == (SYMBOL["symbol"], True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        dumps({"symbols": [{}]}),
        dumps({"symbols": [7]}),
        dumps({"symbols": [{**SYMBOL, "filters": [{"filterType": "LOT_SIZE", "stepSize": "many"}]}]}),
    ],
)
def test_a_malformed_list_of_instruments_is_an_error(codec, body):
    with pytest.raises(DecodeError):
        codec.instruments(body)


def test_a_snapshot_and_its_completeness(codec):
    body = dumps({"lastUpdateId": 1027024, "bids": [["4.00000000", "431"]], "asks": [["4.00000200", "12"], ["5", "1"]]})
    found = codec.snapshot(BNBBTC, body, 2, 7)
    assert (found.sequence, found.bids_complete, found.asks_complete) == (1027024, True, False)
    assert found.asks.tolist() == [[400000200, 1200000000], [500000000, 100000000]]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        dumps({"lastUpdateId": "1", "bids": [], "asks": []}),
        dumps({"lastUpdateId": 1, "bids": [["x", "1"]], "asks": []}),
    ],
)
def test_a_malformed_snapshot_is_an_error(codec, body):
    with pytest.raises(DecodeError):
        codec.snapshot(BNBBTC, body, 100, 7)


ROW = {
    "symbol": "BNBBTC",
    "lastPrice": "4.00000200",
    "openPrice": "99.00000000",
    "highPrice": "100.00000000",
    "lowPrice": "0.10000000",
    "bidPrice": "4.00000000",
    "askPrice": "0.00000000",
    "volume": "8913.30000000",
    "quoteVolume": "15.30000000",
}


def test_day_tickers(codec):
    assert codec.tickers(dumps([ROW])) == {
        "BNBBTC": {
            "volume": "8913.30000000",
            "quote_volume": "15.30000000",
            "bid": "4.00000000",
            "ask": None,
            "last": "4.00000200",
            "open": "99.00000000",
            "high": "100.00000000",
            "low": "0.10000000",
        }
    }
    odd = {**ROW, "symbol": "ODDBTC", "volume": "-1"}
    assert list(codec.tickers(dumps([odd, ROW, 7]))) == ["BNBBTC"]
    for body in (b"", b"{}", dumps([7]), dumps([{**ROW, "bidPrice": "x"}]), dumps([{**ROW, "volume": 1}])):
        with pytest.raises(DecodeError):
            codec.tickers(body)


def test_a_sister_exchange_is_another_spec():
    made = BINANCE_US.codec()
    assert BINANCE_US.name == "binanceus"
    assert made.instruments(dumps({"symbols": [SYMBOL]}))[0].exchange == "binanceus"
    assert made.snapshot_request(BNBBTC, 100).url.startswith("https://api.binance.us/")
    assert made.ws_url().startswith("wss://stream.binance.us:9443")
    assert made.snapshot_request(BNBBTC, 1000).cost == (("weight", 10),)
    with pytest.raises(Misconfigured):
        BINANCE_US.codec(environment="testnet")


def test_every_listed_pair_has_one_name_and_one_symbol(codec):
    (record,) = read(captures("binance") / "instruments.jsonl.gz")
    listed = codec.instruments(record.raw)
    assert len(listed) == 816
    assert {f.symbol: f.name for f in listed} == {s: n for n, s in {f.name: f.symbol for f in listed}.items()}
    assert all(f.name == f"{f.base}-{f.quote}" and f.symbol == f.base + f.quote for f in listed)
    assert {Instrument.from_dict(f.to_dict()) for f in listed} == set(listed)


def test_documented_market_data_is_understood(codec):
    """Ids in these samples are the documentation's placeholders; the test compares only kinds. The
    documented candle opens below its low, so it is refused."""

    def kind_of(frame):
        try:
            return type(codec.decode(frame, 7)[0]).__name__
        except DecodeError as error:
            return error.reason.partition("a candle ")[2]

    documented = json.loads((captures("binance") / "documented.json").read_text())
    kinds = {}
    for sample in documented["ws"]:
        name = sample["name"].removeprefix("Spot/ExchangeData/")
        if name != sample["name"]:
            frames = [step["text"].encode() for step in sample["steps"] if step["dir"] == "recv"]
            codec.bind([Instrument("binance", s, s, "", "", 8, 8) for f in frames if (s := codec.symbol_of(f))])
            kinds[name] = [kind_of(frame) for frame in frames]
    assert {name: kinds[name][-1] for name in ("AggregatedTrades", "Trades", "BookTicker", "Klines", "MiniTicker")} == {
        "AggregatedTrades": "PublicTrade",
        "Trades": "PublicTrade",
        "BookTicker": "Ticker",
        "Klines": "from 0.0010 to 0.0020 within 0.0015 and 0.0025",
        "MiniTicker": "Ignored",
    }
    assert kinds["PartialBook"] == ["Subscribed", "Ignored"]
    for sample in documented["rest"]:
        if sample["path"] == "/api/v3/exchangeInfo":
            assert [found.name for found in codec.instruments(sample["response_text"].encode())] == ["ETH-BTC"]


def test_rules_of_orders_are_read():
    """Source: filters.md and rest-api.md, Exchange information, read 2026-11-22."""
    filters = [
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.002", "maxQty": "100.5", "stepSize": "0.00000000"},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 25},
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "1.2",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.8",
            "avgPriceMins": 1,
        },
    ]
    row = {
        "symbol": "ETHBTC",
        "status": "TRADING",
        "baseAsset": "ETH",
        "quoteAsset": "BTC",
        "orderTypes": ["LIMIT", "STOP_LOSS_LIMIT"],
        "quoteOrderQtyMarketAllowed": True,
        "amendAllowed": True,
        "cancelReplaceAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": True,
        "allowedSelfTradePreventionModes": ["NONE", "EXPIRE_MAKER"],
        "filters": filters,
    }
    (found,) = CONNECTOR.codec().instruments(orjson.dumps({"symbols": [row]}))
    assert found.features == ("quote_amount", "amend", "order_lists")
    assert found.self_trade_modes == ("NONE", "EXPIRE_MAKER")
    assert found.order_types == ("LIMIT", "STOP_LOSS_LIMIT")
    assert found.percent_price == (Decimal("0.2"), Decimal("1.2"), Decimal("0.8"), Decimal(5))
    assert (found.max_orders, found.market_size_increment) == (25, None)
    assert (found.market_min_size, found.market_max_size) == (Decimal("0.002"), Decimal("100.5"))
    assert type(found).from_dict(found.to_dict()) == found
    filters[2] = {"filterType": "PERCENT_PRICE", "multiplierUp": "1.3", "multiplierDown": "0.7", "avgPriceMins": 5}
    (found,) = CONNECTOR.codec().instruments(orjson.dumps({"symbols": [row]}))
    assert found.percent_price == (Decimal("0.7"), Decimal("1.3"), Decimal("0.7"), Decimal("1.3"))
    filters[1]["maxNumOrders"] = "25"
    with pytest.raises(DecodeError):
        CONNECTOR.codec().instruments(orjson.dumps({"symbols": [row]}))


def test_rules_of_orders_in_recorded_lists():
    path = captures("binance") / "instruments.jsonl.gz"
    with gzip.open(path, "rt") as lines:
        listed = CONNECTOR.codec().instruments(json.loads(next(lines))["raw"].encode())
    assert len(listed) > 100
    assert {one.max_orders for one in listed} >= {200}
    assert all(one.percent_price is not None for one in listed)
    assert all("quote_amount" in one.features for one in listed if one.name == "LTC-BTC")

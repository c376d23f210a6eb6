"""Messages in the forms of Coinbase Exchange's manual, each with a correct reader's result. Invented, not recorded.

Source: rosssaunders/coincise, docs/coinbase/exchange, as in `spec.py`, read 2026-11-28.
"""

from __future__ import annotations

from typing import Any

import orjson

from ...model.errors import Rejected, RetryLater
from ...model.events import Side
from ..samples import (
    CandlesSample,
    ErrorSample,
    MarketDataSamples,
    OrderLevelSamples,
    RefusalSample,
    TradeSample,
    candle,
)

TIME = "2022-08-04T15:25:05.010758Z"
HOUR_MS = 3_600_000
OPEN_MS = 1659625200000  # 2022-08-04T15:00:00Z
PRICES = ("10090.5", "10103.25", "10085", "10101.1")  # open, high, low, close
LATER = ("10101.1", "10110", "10100", "10102")
MAKER, TAKER = "ac928c66-ca53-498f-9c13-a110027a60e8", "132fb6ae-456b-4654-b4e0-d681ac05cea1"


def _product(base: str, quote: str, tick: str, step: str, least: str, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"id": f"{base}-{quote}", "base_currency": base, "quote_currency": quote}
    row |= {"quote_increment": tick, "base_increment": step, "display_name": f"{base}-{quote}"}
    row |= dict.fromkeys(("margin_enabled", "post_only", "limit_only", "cancel_only", "trading_disabled"), False)
    row |= {"min_market_funds": least, "status": "online", "status_message": "", "fx_stablecoin": False}
    return {**row, "auction_mode": False, "max_slippage_percentage": "0.02", **changes}


def _update(*changes: tuple[str, str, str]) -> bytes:
    return orjson.dumps({"type": "l2update", "product_id": "BTC-USD", "changes": changes, "time": TIME})


def _match(number: int, price: str, size: str, maker_side: str, kind: str = "match") -> bytes:
    match = {"type": kind, "trade_id": number, "maker_order_id": MAKER, "taker_order_id": TAKER, "side": maker_side}
    return orjson.dumps(
        {**match, "size": size, "price": price, "product_id": "BTC-USD", "sequence": 50 + number, "time": TIME}
    )


def _order_id(number: int) -> str:
    return f"d50ec984-77a8-460a-b958-{number:012x}"


def _full(kind: str, sequence: int, order: int, **more: str) -> bytes:
    """Write a message of the channel full; `order` is the maker's in a match."""
    head = {"type": kind, "time": TIME, "product_id": "BTC-USD", "sequence": sequence}
    if kind == "match":
        return orjson.dumps(
            {**head, "trade_id": sequence, "maker_order_id": _order_id(order), "taker_order_id": TAKER, **more}
        )
    return orjson.dumps({**head, "order_id": _order_id(order), **more})


ORDER_LEVEL = OrderLevelSamples(
    snapshot=orjson.dumps(
        {
            "sequence": 100,
            "bids": [
                ["10101.10", "0.3", _order_id(1)],
                ["10101.10", "0.15054140", _order_id(2)],
                ["10100.00", "2", _order_id(3)],
            ],
            "asks": [["10102.55", "0.57753524", _order_id(4)], ["10103.00", "1.5", _order_id(5)]],
            "auction_mode": False,
            "auction": None,
            "time": TIME,
        }
    ),
    deltas=(
        # a sell takes a part of the first order of the best bid; it never rests
        _full("received", 101, 6, size="0.1", price="10101.10", side="sell", order_type="limit"),
        _full("match", 102, 1, size="0.1", price="10101.10", side="buy"),
        _full("done", 103, 6, price="10101.10", reason="filled", side="sell", remaining_size="0"),
        # a bid comes to rest behind the others of its price
        _full("received", 104, 7, size="0.2", price="10101.10", side="buy", order_type="limit"),
        _full("open", 105, 7, price="10101.10", remaining_size="0.2", side="buy"),
        _full("change", 106, 3, reason="STP", old_size="2", new_size="1.5", price="10100.00", side="buy"),
        _full("change", 107, 6, reason="STP", old_size="2", new_size="1.5", price="10100.00", side="sell"),
        _full("done", 108, 4, price="10102.55", reason="canceled", side="sell", remaining_size="0.57753524"),
        _full(
            "change",
            109,
            2,
            reason="modify_order",
            old_size="0.15054140",
            new_size="0.25",
            old_price="10101.10",
            new_price="10101.10",
            side="buy",
        ),
    ),
    bids=(
        (_order_id(1), "10101.1", "0.2"),
        (_order_id(7), "10101.1", "0.2"),
        (_order_id(2), "10101.1", "0.25"),
        (_order_id(3), "10100", "1.5"),
    ),
    asks=((_order_id(5), "10103", "1.5"),),
    sequence=109,
    stale=_full("done", 100, 1, price="10101.10", reason="canceled", side="buy", remaining_size="0.3"),
    gap=_full("done", 111, 1, price="10101.10", reason="canceled", side="buy", remaining_size="0.2"),
    damaged=(
        _full("open", 110, 8, price="0", remaining_size="0.2", side="buy"),
        _full("open", 110, 8, price="10101.10", remaining_size="0", side="buy"),
        _full("open", 110, 8, price="10101.10", remaining_size="0.2", side="hold"),
        _full("match", 110, 1, size="0", price="10101.10", side="buy"),
    ),
)


def _message(text: str) -> bytes:
    return orjson.dumps({"message": text})


SAMPLES = MarketDataSamples(
    pair="BTC-USD",
    instruments=orjson.dumps(
        [
            _product("BTC", "USD", "0.01", "0.00000001", "1"),
            _product("ETH", "BTC", "0.00001", "0.00000001", "0.000016"),
            _product("PEPE", "USD", "0.00000001", "1", "1"),
            _product("OLD", "USD", "0.01", "0.01", "1", cancel_only=True),
            _product("NEW", "USD", "0.01", "0.01", "1", status="offline"),
        ]
    ),
    symbols={one: one for one in ("BTC-USD", "ETH-BTC", "PEPE-USD", "OLD-USD", "NEW-USD")},
    snapshot=orjson.dumps(
        {
            "type": "snapshot",
            "product_id": "BTC-USD",
            "bids": [["10101.10", "0.45054140"], ["10100.00", "2"], ["9000.50", "0.1"]],
            "asks": [["10102.55", "0.57753524"], ["10103.00", "1.5"]],
            "time": TIME,
        }
    ),
    rest_book=orjson.dumps(
        {
            "bids": [["10101.10", "0.45054140", 2], ["10100.00", "2", 1], ["9000.50", "0.1", 1]],
            "asks": [["10102.55", "0.57753524", 1], ["10103.00", "1.5", 3]],
            "sequence": 13051505638,
            "auction_mode": False,
            "auction": None,
            "time": TIME,
        }
    ),
    deltas=(
        _update(("buy", "10101.80000000", "0.162567")),
        # a batch: both sides, and a level that changes twice
        _update(
            ("sell", "10102.55", "0.00000000"), ("buy", "9000.50", "0"), ("buy", "10100.00", "1"), ("buy", "10100", "3")
        ),
        _update(("sell", "10102.60", "7.00000001")),
    ),
    bids=(("10101.8", "0.162567"), ("10101.1", "0.4505414"), ("10100", "3")),
    asks=(("10102.6", "7.00000001"), ("10103", "1.5")),
    sequence=0,
    order_level=ORDER_LEVEL,
    trades=(
        TradeSample(_match(10, "400.23", "5.23512", "sell"), 10, "400.23", "5.23512", Side.BUY),
        TradeSample(_match(9, "400.5", "0.1", "buy", "last_match"), 9, "400.5", "0.1", Side.SELL),
    ),
    acks=(
        (
            b'{"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["BTC-USD"],"account_ids":null}]}',
            "level2_batch:BTC-USD",
        ),
        (b'{"type":"subscriptions","channels":[{"name":"matches","product_ids":["ETH-EUR"]}]}', "matches:ETH-EUR"),
    ),
    refusals=(
        RefusalSample(
            b'{"type":"error","message":"Failed to subscribe","reason":"FOO-BAR is not a valid product"}',
            "level2_batch:FOO-BAR",
            "Failed to subscribe",
        ),
        RefusalSample(
            b'{"type":"error","message":"Failed to subscribe","reason":"level2, level3, and full channels now require '
            b'authentication."}',
            None,
            "Failed to subscribe",
        ),
        RefusalSample(b'{"type":"error","message":"Malformed JSON"}', None, "Malformed JSON"),
    ),
    ignored=(
        orjson.dumps({"type": "heartbeat", "sequence": 90, "last_trade_id": 20, "product_id": "BTC-USD", "time": TIME}),
        b'{"type":"subscriptions","channels":[]}',
        b'{"type":"ticker","sequence":37475248783,"product_id":"ETH-USD","price":"1285.22"}',
        orjson.dumps({"type": "status", "products": [_product("ETH", "USD", "0.01", "0.01", "1")], "currencies": []}),
        b'{"type":"invented next year"}',
    ),
    errors=(
        ErrorSample(400, _message("Invalid Price"), Rejected),
        ErrorSample(404, _message("NotFound"), Rejected),
        ErrorSample(429, _message("Public rate limit exceeded"), RetryLater),
        ErrorSample(429, b"", RetryLater, (("retry-after", "7"),)),
        ErrorSample(403, b"<html>blocked</html>", Rejected),
        ErrorSample(500, _message("Internal server error"), RetryLater),
        ErrorSample(503, b"", RetryLater),
    ),
    tickers=orjson.dumps(
        {
            "BTC-USD": {
                "stats_30day": {"volume": "311024.55212641"},
                "stats_24hour": {"open": "10090", "high": "10120.5", "low": "9900", "volume": "62.4", "last": "10101"},
            }
        }
    ),
    candles=CandlesSample(
        "1h",
        b"[[1659628800,10100,10110,10101.1,10102,0.5],[1659625200,10085,10103.25,10090.5,10101.1,2.5e-7]]",
        (OPEN_MS + HOUR_MS + 120_000) * 1_000_000,
        (
            candle(OPEN_MS, OPEN_MS + HOUR_MS, PRICES, "0.00000025", None, None, True),
            candle(OPEN_MS + HOUR_MS, OPEN_MS + 2 * HOUR_MS, LATER, "0.5", None, None, False),
        ),
    ),
    server_time=(b'{"iso":"2015-01-07T23:47:25.201Z","epoch":1420674445.201}', 1420674445201000000),
)

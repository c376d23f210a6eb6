"""One history of a book and one message of every other kind, in the form in which `link.py` and `calls.py` pass on what
ccxt has read. By hand; the structures are those of ccxt's unified interface (docs.ccxt.com, read 2026-11-28)."""

from __future__ import annotations

from typing import Any

import orjson

from ...model.errors import Rejected, RetryLater
from ...model.events import Side
from ..samples import ErrorSample, MarketDataSamples, RefusalSample, TradeSample

MS = 1_700_000_000_123


def _market(base: str, quote: str, tick: str, step: str, active: bool = True) -> dict[str, Any]:
    return {
        "symbol": f"{base}/{quote}",
        "id": f"{base}{quote}",
        "base": base,
        "quote": quote,
        "active": active,
        "limits": {"amount": {"min": step, "max": "9000"}, "price": {"min": None, "max": None}, "cost": {"min": "5"}},
        "precision": {"price": tick, "amount": step},
    }


def _book(bids: list[list[float]], asks: list[list[float]], ms: int = MS) -> bytes:
    return orjson.dumps({"kind": "book", "symbol": "BTC/USDT", "timestamp": ms, "bids": bids, "asks": asks})


INSTRUMENTS = orjson.dumps(
    [
        _market("BTC", "USDT", "0.01", "0.00001"),
        _market("ETH", "USDT", "0.01", "0.0001"),
        _market("ETH", "BTC", "0.00001", "0.0001", active=False),
    ]
)
FIRST = _book([[100.5, 1.0], [100.4, 2.5]], [[100.6, 0.7], [101.0, 3.0]])
TRADE = {
    "kind": "trades",
    "symbol": "BTC/USDT",
    "trades": [{"id": "4711", "price": 100.6, "amount": 0.25, "side": "buy", "timestamp": MS}],
}
SAMPLES = MarketDataSamples(
    pair="BTC-USDT",
    instruments=INSTRUMENTS,
    symbols={"BTC-USDT": "BTC/USDT", "ETH-USDT": "ETH/USDT", "ETH-BTC": "ETH/BTC"},
    snapshot=FIRST,
    deltas=(
        _book([[100.5, 0.4], [100.4, 2.5]], [[100.6, 0.7], [101.0, 3.0]], MS + 100),
        _book([[100.55, 0.1], [100.5, 0.4]], [[100.7, 1.2], [101.0, 3.0]], MS + 200),
    ),
    bids=(("100.55", "0.1"), ("100.5", "0.4")),
    asks=(("100.7", "1.2"), ("101", "3")),
    sequence=0,
    trades=(TradeSample(orjson.dumps(TRADE), 4711, "100.6", "0.25", Side.BUY),),
    acks=((orjson.dumps({"kind": "done", "id": 7}), 7),),
    refusals=(
        RefusalSample(
            orjson.dumps({"kind": "refused", "id": 8, "code": "BadSymbol", "reason": "no market"}), 8, "BadSymbol"
        ),
    ),
    rest_book=orjson.dumps(
        {"symbol": "BTC/USDT", "timestamp": None, "bids": [["100.5", "1"]], "asks": [["100.6", "0.7"]]}
    ),
    ignored=(orjson.dumps({"kind": "opened", "id": "1"}),),
    errors=(
        ErrorSample(400, orjson.dumps({"error": ["BadSymbol", "BadRequest"], "reason": "no market"}), Rejected),
        ErrorSample(429, orjson.dumps({"error": ["RateLimitExceeded"], "reason": "slow down"}), RetryLater),
        ErrorSample(503, orjson.dumps({"error": ["OnMaintenance"], "reason": "back soon"}), RetryLater),
    ),
    tickers=orjson.dumps(
        [
            {
                "symbol": "BTC/USDT",
                "baseVolume": "12.5",
                "quoteVolume": "1250",
                "bid": "100.5",
                "ask": "100.6",
                "last": "100.6",
                "open": "99",
                "high": "101",
                "low": "98.5",
            }
        ]
    ),
    server_time=(orjson.dumps({"time": MS}), MS * 1_000_000),
    optional=frozenset({"timestamp"}),
)

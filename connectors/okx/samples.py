"""Messages in the forms of OKX's manual, each with the result of a correct reader. Invented, not recorded.

Source: the pages of the manual that `spec.py` and `market.py` name, read 2026-11-27.
"""

from __future__ import annotations

from typing import Any

import orjson

from ...model.errors import Rejected, RetryLater
from ...model.events import Side
from ..samples import CandlesSample, ErrorSample, MarketDataSamples, RefusalSample, Rows, TradeSample, candle

MS = 1597026383085
OPEN_MS = 1597026300000
PRICES = ("8475.1", "8477.3", "8474.9", "8476.8")  # time of the samples of candles
LATER = ("8476.8", "8477", "8476.8", "8477")


def _level(price: str, size: str) -> list[str]:
    return [price, size, "0", "0" if size == "0" else "1"]


def _book(bids: Rows, asks: Rows, seq: int, previous: int | None = None, action: str | None = "update") -> bytes:
    """Return a message of the channel `books`, or, without an action, the answer of REST."""
    data: dict[str, Any] = {
        "asks": [_level(*row) for row in asks],
        "bids": [_level(*row) for row in bids],
        "ts": str(MS),
    }
    if action is None:
        return _rest([{**data, "seqId": seq}])
    data |= {"checksum": 0, "prevSeqId": previous, "seqId": seq}
    return orjson.dumps({"arg": {"channel": "books", "instId": "BTC-USDT"}, "action": action, "data": [data]})


def _rest(data: list[Any]) -> bytes:
    return orjson.dumps({"code": "0", "msg": "", "data": data})


def _listed(base: str, quote: str, tick: str, lot: str, most: str, state: str = "live") -> dict[str, Any]:
    return {
        "instType": "SPOT",
        "instId": f"{base}-{quote}",
        "instIdCode": 1_000_000_000,
        "baseCcy": base,
        "quoteCcy": quote,
        "tickSz": tick,
        "lotSz": lot,
        "minSz": lot,
        "maxLmtSz": most,
        "maxMktSz": "",
        "state": state,
        "upcChg": [],
    }


def _trade(number: str, price: str, size: str, side: str, count: str) -> bytes:
    row = {"instId": "BTC-USDT", "tradeId": number, "px": price, "sz": size, "side": side, "ts": str(MS)}
    row |= {"count": count, "source": "0", "seqId": 1234}  # type: ignore[dict-item]
    return orjson.dumps({"arg": {"channel": "trades", "instId": "BTC-USDT"}, "data": [row]})


def _falling(first: int, count: int, step: int) -> Rows:
    """Return levels of size 1, `step` tenths apart."""
    return tuple((f"{(first + n * step) // 10}.{(first + n * step) % 10}", "1") for n in range(count))


# The book begins with its full depth of 400 levels a side, the last bid at 8436.9 and the last ask at 8516.9.
BIDS, ASKS = _falling(84768, 400, -1), _falling(84770, 400, 1)


def _candle(prices: tuple[str, str, str, str], confirm: str) -> bytes:
    """trading-market-data-ws-candlesticks-channel.md."""
    row = [str(OPEN_MS), *prices, "45.5", "5529.5858061", "5529.5858061", confirm]
    return orjson.dumps({"arg": {"channel": "candle1m", "instId": "BTC-USDT"}, "data": [row]})


SAMPLES = MarketDataSamples(
    pair="BTC-USDT",
    instruments=_rest(
        [
            _listed("BTC", "USDT", "0.1", "0.00000001", "9999999999"),
            _listed("SHIB", "USDT", "0.000000001", "1", "999999999999999"),
            _listed("ETH", "BTC", "0.00001", "0.000001", "999999999999", "suspend"),
            _listed("NEW", "USDT", "", "", "", "preopen"),
            {**_listed("", "", "", "", "", "preopen"), "instId": "SOON-USDT"},
        ]
    ),
    symbols={"BTC-USDT": "BTC-USDT", "SHIB-USDT": "SHIB-USDT", "ETH-BTC": "ETH-BTC", "NEW-USDT": "NEW-USDT"},
    snapshot=_book(BIDS, ASKS, 10, -1, "snapshot"),
    deltas=(
        # a better bid and a better ask push the last levels out of the 400
        _book((("8476.85", "2.5"), ("8476.8", "0.25")), (("8476.95", "0.00000001"),), 15, 10),
        _book((), (), 15, 15),  # no change for a minute
        _book((("8476.7", "0"),), (("8477", "0"), ("8477.1", "3")), 3, 15),  # the numbers restart
        _book((("8476.7", "4"),), (("8477", "7"),), 5, 3),
    ),
    bids=(("8476.85", "2.5"), ("8476.8", "0.25"), ("8476.7", "4"), *BIDS[2:-1]),
    asks=(("8476.95", "0.00000001"), ("8477", "7"), ("8477.1", "3"), *ASKS[2:-1]),
    sequence=5,
    gap=_book((("8476.8", "9"),), (), 9, 7),
    rest_book=_book(BIDS[:3], ASKS[:2], 3235851742, action=None),
    snapshot_limit=400,
    trades=(
        TradeSample(
            _trade("130639474", "42219.9", "0.12060306", "buy", "1"), 130639474, "42219.9", "0.12060306", Side.BUY
        ),
        TradeSample(_trade("130639477", "42219.8", "3", "sell", "3"), 130639477, "42219.8", "3", Side.SELL),
    ),
    acks=(
        (
            b'{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}',
            "books:BTC-USDT",
        ),
        (
            b'{"event":"subscribe","arg":{"channel":"instruments","instType":"SPOT"},"connId":"a4d3ae55"}',
            "instruments:SPOT",
        ),
    ),
    refusals=(
        RefusalSample(
            b'{"id":"1512","event":"error","code":"60012","msg":"Invalid request: {...}","connId":"a4d3ae55"}',
            "1512",
            "60012",
        ),
        RefusalSample(
            b'{"id":"1512","event":"error","code":"60018","msg":"Wrong URL or channel:books,instId:BTC-ABC doesn\'t '
            b'exist. Please use the correct URL, channel and parameters referring to API document.","connId":"a4d3"}',
            "books:BTC-ABC",
            "60018",
        ),
        RefusalSample(b'{"event":"error","code":"60014","msg":"Requests too frequent","connId":"a4"}', None, "60014"),
    ),
    ignored=(
        b"pong",
        b'{"id":"2","event":"unsubscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}',
        b'{"event":"notice","code":"99999","msg":"of tomorrow","connId":"a4d3ae55"}',
        b'{"event":"channel-conn-count","channel":"orders","connCount":"2","connId":"abcd1234"}',
        b'{"arg":{"channel":"mark-price","instId":"BTC-USDT"},"data":[{}]}',
    ),
    closing=(
        b'{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade. Please '
        b'reconnect.","connId":"a4d3ae55"}',
    ),
    errors=(
        ErrorSample(200, b'{"code":"51001","msg":"Instrument ID doesn\'t exist.","data":[]}', Rejected),
        ErrorSample(200, b'{"code":"50011","msg":"Rate limit reached.","data":[]}', RetryLater),
        ErrorSample(429, b'{"code":"50011","msg":"Too Many Requests","data":[]}', RetryLater),
        ErrorSample(400, b'{"code":"51000","msg":"Parameter instType error","data":[]}', Rejected),
        ErrorSample(400, b'{"code":"50004","msg":"API endpoint request timeout.","data":[]}', RetryLater),
        ErrorSample(503, b'{"code":"50001","msg":"Service temporarily unavailable.","data":[]}', RetryLater),
    ),
    tickers=_rest(
        [
            {
                "instType": "SPOT",
                "instId": "BTC-USDT",
                "last": "8476.9",
                "bidPx": "8476.8",
                "askPx": "",
                "open24h": "8400",
                "high24h": "8500.1",
                "low24h": "8399.9",
                "vol24h": "2222.5",
                "volCcy24h": "18839910.25",
                "ts": str(MS),
            }
        ]
    ),
    candles=CandlesSample(
        "1m",
        _rest(
            [
                [str(OPEN_MS + 60_000), *LATER, "0.5", "4238.5", "4238.5", "0"],
                [str(OPEN_MS), *PRICES, "24.91", "211139.71", "211139.71", "1"],
            ]
        ),
        (OPEN_MS + 61_000) * 1_000_000,
        (
            candle(OPEN_MS, OPEN_MS + 60_000, PRICES, "24.91", "211139.71", None, True),
            candle(OPEN_MS + 60_000, OPEN_MS + 120_000, LATER, "0.5", "4238.5", None, False),
        ),
        (
            (_candle(PRICES, "1"), candle(OPEN_MS, OPEN_MS + 60_000, PRICES, "45.5", "5529.5858061", None, True)),
            (_candle(LATER, "0"), candle(OPEN_MS, OPEN_MS + 60_000, LATER, "45.5", "5529.5858061", None, False)),
        ),
    ),
    server_time=(_rest([{"ts": str(MS)}]), MS * 1_000_000),
    optional=frozenset({"checksum"}),
)

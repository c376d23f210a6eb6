"""Messages in the forms of HTX's manual, each with the result of a correct reader. Invented, not recorded.

Source: as in `spec.py`; the form of a requested book is that of the older manual.
"""

from __future__ import annotations

from typing import Any

import orjson

from ...model.errors import Rejected, RetryLater
from ...model.events import Side
from ..samples import CandlesSample, ErrorSample, MarketDataSamples, RefusalSample, TradeSample, candle
from .spec import LEVELS

MS = 1630994963175
HOUR_MS = 3_600_000
OPEN_MS = MS - MS % HOUR_MS - HOUR_MS
NUMBER = 137005210233
PRICES, LATER = ("0.074849", "0.075", "0.0748", "0.074848"), ("0.074848", "0.075", "0.0748", "0.0749")

# A full window: 52690.00, 52689.00, ... and 52691.00, 52692.00, ...
BIDS = [(f"{52690 - at}.00", f"{at + 1}.5") for at in range(LEVELS)]
ASKS = [(f"{52691 + at}.00", f"{at + 1}.25") for at in range(LEVELS)]


def _levels(rows: list[tuple[str, str]]) -> str:
    return "[" + ",".join(f"[{price},{size}]" for price, size in rows) + "]"


def _delta(number: int, previous: int, bids: str | None, asks: str | None) -> bytes:
    sides = "".join(f',"{name}":{rows}' for name, rows in (("asks", asks), ("bids", bids)) if rows is not None)
    tick = f'{{"seqNum":{NUMBER + number},"prevSeqNum":{NUMBER + previous}{sides}}}'
    return f'{{"ch":"market.btcusdt.mbp.150","ts":{MS},"tick":{tick}}}'.encode()


def _ok(data: Any, **more: Any) -> bytes:
    return orjson.dumps({"status": "ok", "data": data, **more})


def _error(code: str, reason: str, **more: Any) -> bytes:
    return orjson.dumps({"status": "error", "err-code": code, "err-msg": reason, **more})


def _listed(base: str, quote: str, price: int, amount: int, most: str, **changes: Any) -> dict[str, Any]:
    listed = {"symbol": f"{base}{quote}", "state": "online", "bc": base, "qc": quote, "pp": price, "ap": amount}
    listed |= {"sp": "main", "vp": 8, "minoa": 0.0001, "maxoa": float(most), "minov": 5, "lominoa": 0.0001}
    listed |= {"lomaxoa": float(most), "lomaxba": float(most), "lomaxsa": float(most), "smminoa": 0.0001, "blmlt": 1.1}
    listed |= {"slmgt": 0.9, "smmaxoa": 100, "bmmaxov": 1000000, "at": "enabled", "tags": "activities"}
    return {**listed, **changes}


def _trade(number: int, price: str, amount: str, direction: str) -> bytes:
    row = f'{{"id":1.3700544510935929e+26,"ts":{MS - 2},"tradeId":{number},"amount":{amount},"price":{price},'
    row += f'"direction":"{direction}"}}'
    tick = f'{{"id":137005445109,"ts":{MS - 2},"data":[{row}]}}'
    return f'{{"ch":"market.btcusdt.trade.detail","ts":{MS},"tick":{tick}}}'.encode()


def _kline(opens_ms: int, prices: tuple[str, ...], amount: str, vol: str, count: int) -> str:
    names = zip(("open", "high", "low", "close"), prices, strict=True)
    numbers = ",".join(f'"{name}":{price}' for name, price in names)
    return f'{{"id":{opens_ms // 1000},{numbers},"amount":{amount},"vol":{vol},"count":{count}}}'


def _streamed(prices: tuple[str, ...], amount: str, vol: str, count: int) -> bytes:
    tick = _kline(OPEN_MS, prices, amount, vol, count)
    return f'{{"ch":"market.btcusdt.kline.60min","ts":{MS},"tick":{tick}}}'.encode()


SAMPLES = MarketDataSamples(
    pair="BTC-USDT",
    instruments=_ok(
        [
            _listed("btc", "usdt", 2, 6, "1000"),
            _listed("eth", "btc", 6, 4, "5000"),
            _listed("pepe", "usdt", 12, 2, "10000000000"),
            _listed("new", "usdt", 4, 4, "1000", state="pre-online"),
            _listed("old", "usdt", 4, 4, "1000", at="disabled"),
        ],
        ts="1641880897191",
        full=1,
    ),
    symbols={
        "BTC-USDT": "btcusdt",
        "ETH-BTC": "ethbtc",
        "PEPE-USDT": "pepeusdt",
        "NEW-USDT": "newusdt",
        "OLD-USDT": "oldusdt",
    },
    snapshot=(
        f'{{"id":"7","rep":"market.btcusdt.mbp.150","status":"ok","ts":{MS},"data":{{"seqNum":{NUMBER},'
        f'"bids":{_levels(BIDS)},"asks":{_levels(ASKS)}}}}}'
    ).encode(),
    rest_book=(
        f'{{"ch":"market.btcusdt.depth.step0","status":"ok","ts":{MS},"tick":{{"ts":{MS - 5},"version":{NUMBER},'
        f'"bids":{_levels(BIDS)},"asks":{_levels(ASKS)}}}}}'
    ).encode(),
    stale=_delta(0, -3, "[[52690.00,9.0]]", "[]"),
    deltas=(
        _delta(1, 0, "[[52690.00,12]]", "[[52691.00,0.0]]"),
        # a better bid pushes the last one, 52541.00, out of the window; only one side
        _delta(4, 1, "[[52690.5,2.5E-4]]", None),
        _delta(5, 4, "[]", "[]"),
        # a size with more decimals than the pair's scale, which has 13
        _delta(9, 5, "[[52689.00,0.0],[52541.00,1.5E2]]", "[[52691.01,26.755973959140651]]"),
    ),
    gap=_delta(12, 11, "[[52690.00,1.0]]", "[]"),
    bids=(("52690.5", "0.00025"), ("52690", "12"), *BIDS[2:-1], ("52541", "150")),
    asks=(("52691.01", "26.7559739591407"), *ASKS[1:]),
    sequence=NUMBER + 9,
    trades=(
        TradeSample(
            _trade(102523573486, "52648.62", "0.006754", "buy"), 102523573486, "52648.62", "0.006754", Side.BUY
        ),
        TradeSample(_trade(102523573487, "5.2648E4", "1.0E-5", "sell"), 102523573487, "52648", "0.00001", Side.SELL),
    ),
    acks=(
        (b'{"id":"id1","status":"ok","subbed":"market.btcusdt.mbp.150","ts":1489474081631}', "id1"),
        (b'{"id":3,"status":"ok","subbed":"market.btcusdt.depth.step0","ts":1618678070654}', 3),
    ),
    refusals=(
        RefusalSample(
            _error("bad-request", "invalid topic market.nopeusdt.mbp.150", id="7", ts=MS), "7", "invalid topic"
        ),
        RefusalSample(_error("bad-request", "invalid symbol", id="8", ts=MS), "8", "invalid symbol"),
        RefusalSample(_error("bad-request", "not json string", ts=MS), None, "bad-request"),
    ),
    pings=((b'{"ping":1492420473027}', b'{"pong":1492420473027}'),),
    ignored=(
        b'{"id":"id4","status":"ok","unsubbed":"market.btcusdt.trade.detail","ts":1494326028889}',
        b'{"ch":"market.btcusdt.bbo","ts":1630994555540,"tick":{"seqId":137005210233,"ask":52665.02,"bid":52665.01}}',
        b'{"ch":"market.btcusdt.mbp.refresh.5","ts":1630994555540,"tick":{"seqNum":1,"bids":[],"asks":[]}}',
        b'{"ch":"invented next year","ts":1}',
    ),
    errors=(
        ErrorSample(200, _error("invalid-parameter", "invalid symbol", ts=MS), Rejected),
        ErrorSample(200, _error("invalid-parameter", "request timeout", ts=MS), RetryLater),
        ErrorSample(200, _error("base-system-error", "System error"), RetryLater),
        ErrorSample(200, _error("510", "too often"), RetryLater),
        ErrorSample(429, b"", RetryLater, (("retry-after", "7"),)),
        ErrorSample(403, b"<html>", Rejected),
        ErrorSample(503, b"", RetryLater),
    ),
    tickers=(
        b'{"status":"ok","ts":1629789355531,"data":[{"symbol":"btcusdt","open":50080,"high":50500.5,"low":48767,'
        b'"close":49820.92,"amount":12055.365781937457,"vol":5.985618685709001E8,"count":420573,"bid":49819.48,'
        b'"bidSize":2.58112,"ask":0,"askSize":0}]}'
    ),
    candles=CandlesSample(
        "1h",
        (
            f'{{"ch":"market.btcusdt.kline.60min","status":"ok","ts":{MS},"data":['
            f"{_kline(OPEN_MS + HOUR_MS, LATER, '2.4448', '0.1829884187', 3)},"
            f"{_kline(OPEN_MS, PRICES, '3.946281917950917', '1.9348967275732E5', 196)}]}}"
        ).encode(),
        (MS + 5) * 1_000_000,
        (
            candle(OPEN_MS, OPEN_MS + HOUR_MS, PRICES, "3.946281917950917", "193489.67275732", 196, True),
            candle(OPEN_MS + HOUR_MS, OPEN_MS + 2 * HOUR_MS, LATER, "2.4448", "0.1829884187", 3, False),
        ),
        (
            (
                _streamed(LATER, "2.4448", "0.1829884187", 3),
                candle(OPEN_MS, OPEN_MS + HOUR_MS, LATER, "2.4448", "0.1829884187", 3, False),
            ),
        ),
    ),
    server_time=(b'{"status":"ok","data":1629715504949}', 1629715504949000000),
    optional=frozenset({"bids", "asks"}),
)

"""Messages in the forms of Kraken's manual, each with the result of a correct reader. Invented, not recorded.

Source: docs.kraken.com, websocket-v2/{book,trade,ticker,instrument,status,heartbeat,ping}, guides/spot-ws-book-v2,
rest-api pages of the endpoints in `spec.py`, read 2026-11-27.
"""

from __future__ import annotations

import zlib

import orjson

from ...model.errors import Rejected, RetryLater
from ...model.events import Side
from ..samples import (
    CandlesSample,
    ErrorSample,
    MarketDataSamples,
    OrderLevelSamples,
    OrderRows,
    RefusalSample,
    Rows,
    TradeSample,
    candle,
)

PRICES = ("0.56650", "0.56701", "0.56610", "0.56660")  # time of the samples of candles
LATER = ("0.56660", "0.56690", "0.56660", "0.56690")
TIMES = '"time_in":"2023-10-06T17:35:55.219022Z","time_out":"2023-10-06T17:35:55.219067Z"'

# The book as the exchange holds it, best first: ten levels a side, which is the depth.
BIDS: Rows = (
    ("0.56660", "4831.75496356"),
    ("0.56650", "6658.22734739"),
    ("0.56640", "18724.91513344"),
    ("0.56630", "11563.92544914"),
    ("0.56620", "14006.65365711"),
    ("0.56610", "17454.85679807"),
    ("0.56600", "18097.15470000"),
    ("0.56590", "33644.89175666"),
    ("0.56580", "148.34640000"),
    ("0.56570", "606.70854372"),
)
ASKS: Rows = (
    ("0.56680", "4410.79769741"),
    ("0.56690", "4655.40412487"),
    ("0.56700", "49844.89424998"),
    ("0.56710", "24306.41678000"),
    ("0.56720", "29783.25223475"),
    ("0.56730", "57234.71239278"),
    ("0.56740", "45065.04744000"),
    ("0.56750", "5912.76380354"),
    ("0.56760", "42514.92434778"),
    ("0.56770", "36304.08470220"),
)
# A new bid pushes the last bid out; a size changes; the best ask is removed and another ask moves up into the depth.
BIDS_2: Rows = (("0.56670", "10.00000000"), *BIDS[:9])
BIDS_3: Rows = (("0.56670", "0.00000001"), *BIDS[:9])
ASKS_4: Rows = (*ASKS[1:], ("0.56790", "7.50000000"))
ASKS_5: Rows = (ASKS_4[0], ("0.56695", "1.00000000"), *ASKS_4[1:9])


def _checksum(bids: Rows, asks: Rows) -> int:
    """Return the checksum by the manual's recipe, from the text of the numbers."""
    digits = "".join(part.replace(".", "").lstrip("0") for side in (asks, bids) for row in side for part in row)
    return zlib.crc32(digits.encode())


def _book(kind: str, bids: Rows, asks: Rows, checksum: int) -> bytes:
    sides = (",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in side) for side in (bids, asks))
    bid, ask = sides
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"MATIC/USD","bids":[{bid}],"asks":[{ask}],'
        f'"checksum":{checksum},"timestamp":"2023-10-06T17:35:55.440295Z"}}]}}'
    ).encode()


def _order_id(number: int) -> str:
    return f"O6ZQNQ-BXL4E-{number:06d}"


# The orders as the exchange holds them: two at the best bid, one at each other level of the depth of ten
ORDER_BIDS: OrderRows = (
    (_order_id(100), *BIDS[0]),
    (_order_id(101), BIDS[0][0], "111.56125344"),
    *((_order_id(number), *row) for number, row in enumerate(BIDS[1:], 1)),
)
ORDER_ASKS: OrderRows = tuple((_order_id(number), *row) for number, row in enumerate(ASKS, 20))
# The first of the queue is partly filled; a new bid pushes the last level out; the best ask goes and a level enters
ORDER_BIDS_1: OrderRows = ((ORDER_BIDS[0][0], BIDS[0][0], "31.75496356"), *ORDER_BIDS[1:])
ORDER_BIDS_2: OrderRows = ((_order_id(200), "0.56670", "10.00000000"), *ORDER_BIDS_1[:10])
ORDER_ASKS_3: OrderRows = (*ORDER_ASKS[1:], (_order_id(201), "0.56790", "7.50000000"))
ORDER_BIDS_4: OrderRows = (
    *ORDER_BIDS_2[:1],
    *ORDER_BIDS_2[2:3],
    (_order_id(202), "0.56660", "4.00000000"),
    *ORDER_BIDS_2[3:],
)


def _orders(kind: str, bids: OrderRows, asks: OrderRows, now: tuple[OrderRows, OrderRows], event: str = "") -> bytes:
    """Write a message of the channel level3 with one event for all rows; `now` are the orders after it."""
    start = f'"event":"{event}",' if event else ""
    sides = (
        ",".join(
            f'{{{start}"order_id":"{order_id}","limit_price":{price},"order_qty":{qty},'
            f'"timestamp":"2023-10-06T18:18:20.734897896Z"}}'
            for order_id, price, qty in side
        )
        for side in (bids, asks)
    )
    bid, ask = sides
    summed = tuple((price, qty) for _, price, qty in now[0]), tuple((price, qty) for _, price, qty in now[1])
    return (
        f'{{"channel":"level3","type":"{kind}","data":[{{"symbol":"MATIC/USD","bids":[{bid}],"asks":[{ask}],'
        f'"checksum":{_checksum(*summed)},"timestamp":"2023-10-06T18:21:00.097010033Z"}}]}}'
    ).encode()


ORDER_LEVEL = OrderLevelSamples(
    snapshot=_orders("snapshot", ORDER_BIDS, ORDER_ASKS, (ORDER_BIDS, ORDER_ASKS)),
    deltas=(
        _orders("update", ORDER_BIDS_1[:1], (), (ORDER_BIDS_1, ORDER_ASKS), "modify"),
        _orders("update", ORDER_BIDS_2[:1], (), (ORDER_BIDS_2, ORDER_ASKS), "add"),
        _orders("update", (), ORDER_ASKS[:1], (ORDER_BIDS_2, ORDER_ASKS[1:]), "delete"),
        _orders("update", (), ORDER_ASKS_3[-1:], (ORDER_BIDS_2, ORDER_ASKS_3), "add"),
        _orders("update", ORDER_BIDS_2[1:2], (), ((*ORDER_BIDS_2[:1], *ORDER_BIDS_2[2:]), ORDER_ASKS_3), "delete"),
        _orders("update", ORDER_BIDS_4[2:3], (), (ORDER_BIDS_4, ORDER_ASKS_3), "add"),
    ),
    bids=ORDER_BIDS_4,
    asks=ORDER_ASKS_3,
    sequence=0,
    # The message before this one, which filled a part of the best bid, was lost
    gap=_orders("update", (), ORDER_ASKS_3[-1:], (ORDER_BIDS_2, ORDER_ASKS_3[:-1]), "delete"),
    damaged=(
        _orders("update", ORDER_BIDS_1[:1], (), (ORDER_BIDS_1, ORDER_ASKS), "vanish"),
        _orders("update", ((_order_id(1), "0.00000", "1.00000000"),), (), (ORDER_BIDS, ORDER_ASKS), "add"),
        _orders("update", ((_order_id(1), "0.56661", "0.00000000"),), (), (ORDER_BIDS, ORDER_ASKS), "add"),
    ),
)


def _trade(side: str, price: str, qty: str, number: int) -> bytes:
    return (
        f'{{"channel":"trade","type":"update","data":[{{"symbol":"MATIC/USD","side":"{side}","price":{price},'
        f'"qty":{qty},"ord_type":"market","trade_id":{number},"timestamp":"2023-09-25T07:49:37.708706Z"}}]}}'
    ).encode()


def _listed(
    altname: str, wsname: str, base: str, quote: str, decimals: int, tick: str, status: str
) -> dict[str, object]:
    return {
        "altname": altname,
        "wsname": wsname,
        "aclass_base": "currency",
        "base": base,
        "aclass_quote": "currency",
        "quote": quote,
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": decimals,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "fee_volume_currency": "ZUSD",
        "ordermin": "0.0001",
        "costmin": "0.5",
        "tick_size": tick,
        "status": status,
    }


def _accepted(channel: str, more: str) -> bytes:
    return (
        f'{{"method":"subscribe","req_id":4,"result":{{"channel":"{channel}",{more}"snapshot":true,'
        f'"symbol":"MATIC/USD"}},"success":true,{TIMES}}}'
    ).encode()


def _ohlc(prices: tuple[str, str, str, str]) -> bytes:
    """websocket-v2/ohlc, its example of an update."""
    numbers = ",".join(
        f'"{name}":{price}' for name, price in zip(("open", "high", "low", "close"), prices, strict=True)
    )
    return (
        f'{{"channel":"ohlc","type":"update","timestamp":"2023-07-06T19:20:30.524394914Z","data":[{{"symbol":"MATIC/USD",'
        f'{numbers},"trades":12,"volume":30927.68066226,"vwap":0.5662,"interval_begin":"2023-07-06T19:20:00.000000000Z",'
        f'"interval":5,"timestamp":"2023-07-06T19:25:00.000000Z"}}]}}'
    ).encode()


SAMPLES = MarketDataSamples(
    pair="MATIC-USD",
    instruments=orjson.dumps(
        {
            "error": [],
            "result": {
                "MATICUSD": _listed("MATICUSD", "MATIC/USD", "MATIC", "ZUSD", 5, "0.00001", "online"),
                "XXBTZUSD": _listed("XBTUSD", "XBT/USD", "XXBT", "ZUSD", 1, "0.1", "online"),
                "XETHXXBT": _listed("ETHXBT", "ETH/XBT", "XETH", "XXBT", 5, "0.00001", "post_only"),
                "XDGEUR": _listed("XDGEUR", "XDG/EUR", "XXDG", "ZEUR", 7, "0.0000001", "cancel_only"),
            },
        }
    ),
    symbols={"MATIC-USD": "MATIC/USD", "BTC-USD": "BTC/USD", "ETH-BTC": "ETH/BTC", "DOGE-EUR": "DOGE/EUR"},
    snapshot=_book("snapshot", BIDS, ASKS, _checksum(BIDS, ASKS)),
    deltas=(
        _book("update", BIDS_2[:1], (), _checksum(BIDS_2, ASKS)),
        _book("update", (("0.56670", "3.00000000"), *BIDS_3[:1]), (), _checksum(BIDS_3, ASKS)),  # in this order
        _book("update", (), (("0.56680", "0.00000000"), ASKS_4[-1]), _checksum(BIDS_3, ASKS_4)),
        _book("update", (), ASKS_5[1:2], _checksum(BIDS_3, ASKS_5)),
    ),
    bids=BIDS_3,
    asks=ASKS_5,
    sequence=0,
    order_level=ORDER_LEVEL,
    # The message before this one, which changed the best bid, was lost
    gap=_book("update", (), (("0.56690", "2.00000000"),), _checksum(BIDS_2, ASKS_5)),
    rest_book=orjson.dumps(
        {
            "error": [],
            "result": {
                "MATICUSD": {
                    "asks": [["0.56680", "4410.798", 1688671659], ["0.56690", "4655.404", 1688671380]],
                    "bids": [["0.56660", "4831.755", 1688671656]],
                }
            },
        }
    ),
    trades=(
        TradeSample(_trade("sell", "0.51170", "40.00000000", 4665906), 4665906, "0.5117", "40", Side.SELL),
        TradeSample(_trade("buy", "0.51470", "6423.46326000", 4665907), 4665907, "0.5147", "6423.46326", Side.BUY),
    ),
    acks=((_accepted("book", '"depth":10,'), "4 MATIC/USD"), (_accepted("trade", ""), "4 MATIC/USD")),
    refusals=(
        RefusalSample(
            f'{{"error":"Currency pair not supported XBT/USD","method":"subscribe","req_id":5,"success":false,'
            f'"symbol":"XBT/USD",{TIMES}}}'.encode(),
            "5 XBT/USD",
            "subscribe",
        ),
        RefusalSample(b'{"error":"Malformed request","success":false}', None, "error"),
    ),
    ignored=(
        b'{"channel":"heartbeat"}',
        f'{{"method":"pong","req_id":101,{TIMES}}}'.encode(),
        f'{{"method":"unsubscribe","req_id":6,"result":{{"channel":"book","depth":10,"symbol":"MATIC/USD"}},'
        f'"success":true,{TIMES}}}'.encode(),
        b'{"channel":"invented next year"}',
    ),
    errors=(
        ErrorSample(200, b'{"error":["EQuery:Unknown asset pair"]}', Rejected),
        ErrorSample(200, b'{"error":["EGeneral:Invalid arguments:count"]}', Rejected),
        ErrorSample(200, b'{"error":["EAPI:Rate limit exceeded"]}', RetryLater),
        ErrorSample(200, b'{"error":["EService: Throttled: 1669114062"]}', RetryLater),
        ErrorSample(200, b'{"error":["EService:Unavailable"]}', RetryLater),
        ErrorSample(503, b"<html>", RetryLater),
    ),
    tickers=orjson.dumps(
        {
            "error": [],
            "result": {
                "MATICUSD": {
                    "a": ["0.56680", "4410", "4410.798"],
                    "b": ["0.00000", "0", "0.000"],
                    "c": ["0.56670", "3.5"],
                    "v": ["1000.00000000", "8913.30000000"],
                    "p": ["0.56600", "0.56500"],
                    "t": [10, 90],
                    "l": ["0.56000", "0.55000"],
                    "h": ["0.57000", "0.58000"],
                    "o": "0.56500",
                },
                "NOWHERE": {},
            },
        }
    ),
    candles=CandlesSample(
        "5m",
        orjson.dumps(
            {
                "error": [],
                "result": {
                    "MATICUSD": [
                        [1688671200, *PRICES, "0.56655", "7.23130000", 4],
                        [1688671500, *LATER, "0.56690", "1.00000000", 1],
                    ],
                    "last": 1688671200,
                },
            }
        ),
        1688671512 * 1_000_000_000,
        (
            candle(1688671200_000, 1688671500_000, PRICES, "7.2313", None, 4, True),
            candle(1688671500_000, 1688671800_000, LATER, "1", None, 1, False),
        ),
        ((_ohlc(PRICES), candle(1688671200_000, 1688671500_000, PRICES, "30927.68066226", None, 12, False)),),
    ),
    server_time=(
        b'{"error":[],"result":{"unixtime":1688669448,"rfc1123":"Thu,  6 Jul 23 18:50:48 +0000"}}',
        1688669448 * 1_000_000_000,
    ),
)

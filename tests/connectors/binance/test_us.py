"""Binance.US where it differs from Binance: requests, keys, the user stream. Source: its manual, read 2026-11-27."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D

import orjson
import pytest

from tests.connectors.binance.test_orders import MAKER, MARKET, PAIR, STOP, STOP_LIMIT, new
from venuemesh.connectors.binance import BINANCE_US, CONNECTOR
from venuemesh.connectors.order_codec import At, Kind, Signed, UsesTokens
from venuemesh.connectors.reports import OrderReport
from venuemesh.model.errors import DecodeError, Misconfigured, NotOffered
from venuemesh.model.events import Side
from venuemesh.model.http import HttpResponse
from venuemesh.model.order import Order, OrderStatus, TimeInForce

CODEC = BINANCE_US.trading()
AUTH = BINANCE_US.auth("hmac", "KEY", "SECRET")
NOW_NS = 1_700_000_000_000_000_000


def reply(draft, body):
    return CODEC.reply(Signed(draft, "1", At(0), "", ""), HttpResponse(200, {}, orjson.dumps(body), 1, 2))


def test_an_oco_names_its_orders_limit_and_stop():
    limit = new("up", Side.SELL, MAKER, price="1600")
    stop = new("down", Side.SELL, STOP, price=None, stop_price="1400")
    draft = CODEC.place_list("OCO", [limit, stop], PAIR, "list")
    assert draft.rest == ("POST", "/api/v3/order/oco")
    assert draft.call is None
    assert (draft.orders, draft.order_count) == (("up", "down"), 2)
    assert dict(draft.params) == {
        "symbol": "BTCUSDT",
        "listClientOrderId": "list",
        "newOrderRespType": "FULL",
        "side": "SELL",
        "quantity": "0.05",
        "limitClientOrderId": "up",
        "price": "1600",
        "stopClientOrderId": "down",
        "stopPrice": "1400",
    }
    limited = new("down", Side.SELL, STOP_LIMIT, price="1390", stop_price="1400", self_trade="EXPIRE_TAKER")
    params = dict(CODEC.place_list("OCO", [limited, replace(limit, self_trade="EXPIRE_TAKER")], PAIR, "l").params)
    assert (params["stopLimitPrice"], params["stopLimitTimeInForce"]) == ("1390", "GTC")
    assert params["selfTradePreventionMode"] == "EXPIRE_TAKER"


def test_what_only_binance_has_is_not_offered():
    limit, stop = new("w"), new("s", Side.SELL, STOP, price=None, stop_price="1400")
    with pytest.raises(NotOffered):
        CODEC.place_list("OTO", [limit, stop], PAIR, "l")
    take = new("t", Side.SELL, MARKET.TAKE_PROFIT, price=None, stop_price="1600")
    with pytest.raises(NotOffered, match="LIMIT_MAKER"):
        CODEC.place_list("OCO", [take, stop], PAIR, "l")
    at = NOW_NS
    order = Order(
        "binanceus",
        "main",
        "a",
        "BTC-USDT",
        Side.BUY,
        limit.order_type,
        D(1),
        D(1),
        TimeInForce.GTC,
        OrderStatus.OPEN,
        at,
        at,
    )
    with pytest.raises(NotOffered):
        CODEC.amend(order, PAIR, D("0.5"))
    with pytest.raises(NotOffered):
        CODEC.call_url()
    for kind in ("rsa", "ed25519"):
        with pytest.raises(Misconfigured, match="hmac"):
            BINANCE_US.auth(kind, "KEY", "SECRET")


def test_the_stream_opens_by_a_listen_key_which_is_requested_with_the_key_alone():
    assert isinstance(CODEC, UsesTokens)
    draft = CODEC.token()
    signed = AUTH.sign(draft, "1", NOW_NS, 5000)
    assert signed.request is not None
    assert (signed.request.method, signed.request.url) == ("POST", "https://api.binance.us/api/v3/userDataStream")
    assert ("X-MBX-APIKEY", "KEY") in signed.request.headers
    assert signed.request.body == b""
    assert "KEY" not in repr(signed)
    assert reply(draft, {"listenKey": "abc"}).token == "abc"
    CODEC.use_token("abc")
    assert CODEC.stream_url() == "wss://stream.binance.us:9443/ws/abc"
    assert CODEC.stream_open(AUTH, "1", NOW_NS, 5000) == []
    assert 0 < (CODEC.offer.token_every_s or 0) < 3600
    assert CONNECTOR.trading().offer.token_every_s is None
    assert not BINANCE_US.trading(rest="http://here").offer.stream  # the key of a test reaches that server alone
    assert BINANCE_US.trading(rest="http://here", ws_api="ws://here").stream_url() == "ws://here/ws/"


def test_events_of_the_stream_come_without_an_envelope():
    event = {
        "e": "executionReport",
        "E": 1499405658658,
        "s": "ETHBTC",
        "c": "mine",
        "S": "BUY",
        "o": "LIMIT",
        "f": "GTC",
    }
    event |= {"q": "1.00000000", "p": "0.10264410", "P": "0.00000000", "F": "0.00000000", "g": -1, "C": "", "x": "NEW"}
    event |= {"X": "NEW", "r": "NONE", "i": 4293153, "l": "0.00000000", "z": "0.00000000", "L": "0.00000000", "n": "0"}
    event |= {"N": None, "T": 1499405658657, "t": -1, "I": 8641984, "w": True, "m": False, "M": False}
    event |= {"O": 1499405658657, "Z": "0.00000000", "Y": "0.00000000", "Q": "0.00000000", "V": "NONE"}
    (report,) = CODEC.stream_decode(orjson.dumps(event), 5)
    assert isinstance(report, OrderReport)
    assert (report.client_order_id, report.exchange_order_id, report.status) == ("mine", "4293153", OrderStatus.OPEN)
    assert CODEC.stream_decode(b'{"e":"invented next year"}', 5) == ()
    for broken in (b"[]", b'{"e":7}', b"{}"):
        with pytest.raises(DecodeError):
            CODEC.stream_decode(broken, 5)


def test_fees_are_the_account_s_and_a_side_adds_its_own():
    draft = CODEC.fees(PAIR)
    assert (draft.kind, draft.rest, draft.params) == (Kind.FEES, ("GET", "/api/v3/account"), ())
    rates = {"maker": "0.00150000", "taker": "0.00250000", "buyer": "0.00000000", "seller": "0.00010000"}
    fees = reply(draft, {"commissionRates": rates}).fees
    assert fees is not None
    assert (fees.pair, fees.maker, fees.taker) == ("BTC-USDT", D("0.0016"), D("0.0026"))


def test_the_list_of_instruments_states_self_trade_modes_for_all_pairs():
    codec = BINANCE_US.codec()
    assert codec.instruments_request().url == "https://api.binance.us/api/v3/exchangeInfo"
    row = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "filters": []}
    own = {**row, "symbol": "ETHUSDT", "baseAsset": "ETH", "allowedSelfTradePreventionModes": ["EXPIRE_BOTH"]}
    listed = codec.instruments(orjson.dumps({"symbols": [row, own], "allowedSelfTradePreventionModes": ["NONE"]}))
    assert [one.self_trade_modes for one in listed] == [("NONE",), ("EXPIRE_BOTH",)]
    assert codec.instruments(orjson.dumps({"symbols": [row]}))[0].self_trade_modes == ()

"""A trading codec and its key for tests of roles: JSON in our own plain form, not an exchange's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from venuemesh.actors.account.reports import from_plain
from venuemesh.connectors.order_codec import At, Draft, Kind, Refusal, Reply, Signed
from venuemesh.connectors.reports import AccountReport, BalanceReport, StreamOpened
from venuemesh.connectors.spec import ExchangeSpec, Limit, Offer
from venuemesh.model.errors import DecodeError, Rejected
from venuemesh.model.http import HttpRequest, HttpResponse
from venuemesh.model.instrument import Instrument
from venuemesh.model.order import OrderType, TimeInForce

SPEC = ExchangeSpec(
    exchange="acme",
    rest="https://acme.test",
    ws="wss://acme.test",
    endpoints={},
    limits={"weight": Limit(1000, 60.0), "connections": Limit(100, 60.0)},
    silence_s=30.0,
    max_connection_s=86_400.0,
    max_streams=10,
    streams_per_instrument=2,
    wire_decimals=8,
    max_snapshot=5000,
)
PAIR = Instrument("acme", "BTC-USDT", "BTCUSDT", "BTC", "USDT", 2, 5)


class PlainAuth:
    """Signs with a plain word."""

    key_hint = "plan..."

    def sign(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        method, path = draft.rest
        query = "&".join(f"{name}={value}" for name, value in draft.params)
        request = HttpRequest(method, f"{path}?{query}", (), b"", draft.cost)
        ends = At(now_ns + validity_ms * 10**6)
        return Signed(draft, request_id, ends, f"{method} {path}", "digest", request=request)

    def sign_call(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        raise NotImplementedError


class PlainCodec:
    """`stream` frames are `{"opened": id}`, or a list of plain reports; answers are JSON of the arguments of
    `Reply`."""

    spec = SPEC

    def __init__(self, stream: bool = True) -> None:
        self.offer = Offer(frozenset(OrderType), frozenset(TimeInForce), stream=stream)
        self.bound: list[Instrument] = []

    # market side, as far as the clock needs it

    def time_request(self) -> HttpRequest | None:
        return HttpRequest("GET", "/time", cost=(("weight", 1),))

    def server_time(self, body: bytes) -> int:
        return int(json.loads(body))

    def failure(self, response: HttpResponse, changes: bool = False) -> Exception | None:
        return None if response.status == 200 else Rejected(str(response.status), "no")

    def bind(self, instruments: Sequence[Instrument]) -> None:
        self.bound = list(instruments)

    # trading side

    def query(self, client_order_id: str, instrument: Instrument, exchange_order_id: str | None = None) -> Draft:
        return self._draft(Kind.ORDER, "/order", ("id", client_order_id))

    def open_orders(self) -> Draft:
        return self._draft(Kind.OPEN_ORDERS, "/open")

    def fills(self, instrument: Instrument, since_ns: int | None, exchange_order_id: str | None = None) -> Draft:
        return self._draft(Kind.FILLS, "/fills", ("order", exchange_order_id or ""))

    def order_counts(self) -> Draft | None:
        return None

    def account(self) -> Draft:
        return self._draft(Kind.ACCOUNT, "/account")

    def _draft(self, kind: Kind, path: str, *params: tuple[str, str]) -> Draft:
        return Draft(kind, ("GET", path), None, params, cost=(("weight", 1),))

    def reply(self, signed: Signed, response: HttpResponse) -> Reply:
        if response.status != 200:
            raise Rejected(str(response.status), "no")
        message = json.loads(response.body)
        if signed.draft.kind is Kind.ACCOUNT:
            balances = {asset: (Decimal(free), Decimal(locked)) for asset, (free, locked) in message.items()}
            report = BalanceReport(balances, True, response.recv_ns)
            return Reply(account=AccountReport(report, True, (), None, None))
        if signed.draft.kind is Kind.FILLS:
            order: Any = from_plain({**order_plain("x", "1"), "fills": message})
            return Reply(fills=order.fills)
        return Reply(orders=tuple(from_plain(plain) for plain in message))  # type: ignore[misc]

    def refusal(self, code: str, reason: str = "") -> Refusal:
        return Refusal.CLOCK if code == "408" else Refusal.REJECTED

    def stream_url(self) -> str:
        return "wss://acme.test/user"

    def stream_open(self, auth: Any, request_id: str, now_ns: int, validity_ms: int) -> list[bytes]:
        return [json.dumps({"open": request_id, "apiKey": "hidden", "at": now_ns}).encode()]

    def stream_decode(self, frame: bytes | memoryview, recv_ns: int) -> list[Any]:
        try:
            message = json.loads(bytes(frame))
        except ValueError as error:
            raise DecodeError("no JSON", None) from error
        if isinstance(message, dict):
            return (
                [StreamOpened(message["opened"], message.get("code"), message.get("reason"))]
                if "opened" in message
                else []
            )
        return [from_plain(plain) for plain in message]


def order_plain(client_order_id: str, exchange_order_id: str, status: str = "OPEN", **fields: Any) -> dict[str, Any]:
    """An order report as plain values."""
    return {
        "type": "order",
        "symbol": "BTCUSDT",
        "client_order_id": client_order_id,
        "exchange_order_id": exchange_order_id,
        "status": status,
        "ts_event_ns": 5,
        "side": "buy",
        "order_type": "LIMIT",
        "amount": "2",
        "price": "10",
        "filled": "0",
        **fields,
    }


def fill_plain(trade_id: str, amount: str) -> dict[str, Any]:
    return {
        "trade_id": trade_id,
        "price": "10",
        "amount": amount,
        "quote_amount": "1",
        "fee": "0.001",
        "fee_asset": "BTC",
        "is_maker": True,
        "ts_event_ns": 6,
        "side": "buy",
    }

"""Requests of ccxt go through our transport, with the numbers that the mesh gave, once, and its errors are typed."""

import decimal
import pickle
from decimal import Decimal
from typing import Any

import orjson
import pytest

pytest.importorskip("ccxt", reason="ccxt is not installed: pip install 'venuemesh[ccxt]'")

from venuemesh.connectors.ccxt import ccxt_connector
from venuemesh.connectors.ccxt.package import exchange_ids
from venuemesh.connectors.ccxt.session import Failed, Session
from venuemesh.connectors.order_codec import Reply
from venuemesh.connectors.registry import connector
from venuemesh.connectors.transport import Rest
from venuemesh.model.errors import Misconfigured, OutcomeUnknown, Rejected, RetryLater, UnknownExchange
from venuemesh.model.events import Side
from venuemesh.model.http import Conversation, HttpRequest, HttpResponse
from venuemesh.model.instrument import Instrument
from venuemesh.model.order import NewOrder, OrderType

SECRET = "c2VjcmV0c2VjcmV0"
NOW_NS = 1_795_000_000 * 10**9


def exchange_info(tick: str, step: str) -> bytes:
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000000000", "stepSize": step},
    ]
    row = {"symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT", "status": "TRADING", "filters": filters}
    more = {"isSpotTradingAllowed": True, "permissions": [], "permissionSets": [["SPOT"]], "quotePrecision": 8}
    return orjson.dumps({"symbols": [{**row, **more, "orderTypes": ["LIMIT", "MARKET"]}]})


class Exchange:
    """Answers the requests of ccxt's binance class, and keeps them."""

    def __init__(self, tick: str = "0.01", step: str = "0.00001") -> None:
        self.info = exchange_info(tick, step)
        self.requests: list[HttpRequest] = []
        self.answers: dict[str, Any] = {}

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        path = request.url.partition("?")[0].rpartition("/")[2]
        found = self.answers.get(path, (200, self.info if path == "exchangeInfo" else b"{}"))
        if isinstance(found, Exception):
            raise found
        status, body = found
        return HttpResponse(status, {}, body, 0, 0)


def instrument(tick: str, step: str) -> Instrument:
    return Instrument(
        "ccxt:binance", "BTC-USDT", "BTC/USDT", "BTC", "USDT", 18, 18,
        price_increment=Decimal(tick), size_increment=Decimal(step),
    )  # fmt: skip


async def answered(exchange: Exchange, amount: str, price: str, tick: str = "0.01", step: str = "0.00001") -> Reply:
    trades = connector("ccxt:binance")
    codec, auth = trades.trading(), trades.auth("hmac", "KEYKEYKEYKEY", SECRET)
    terms = {"amount": Decimal(amount), "price": Decimal(price)}
    order = NewOrder("vm1", "BTC-USDT", Side.BUY, OrderType.LIMIT, **terms)
    signed = auth.sign(codec.place(order, instrument(tick, step)), "1", NOW_NS, 5_000)
    assert isinstance(signed.request, Conversation)
    return codec.reply(signed, await signed.request.converse(exchange.send))


@pytest.mark.parametrize(
    ("tick", "price", "step", "amount"),
    [
        ("0.01", "64250.25", "0.00001", "0.12345"),
        ("0.00000001", "0.00000123", "1", "123456789"),
        ("0.1", "0.3", "0.001", "0.007"),
        ("0.00000001", "12345678.12345678", "0.00000001", "87654321.87654321"),
        ("0.00000000000001", "0.00000000012345", "0.0000000000001", "1.0000000000001"),
    ],
)
async def test_prices_and_amounts_reach_the_wire_as_they_are(tick: str, price: str, step: str, amount: str) -> None:
    exchange = Exchange(tick, step)
    exchange.answers["order"] = 200, orjson.dumps({"symbol": "BTCUSDT", "orderId": 7, "clientOrderId": "vm1"})
    reply = await answered(exchange, amount, price, tick, step)
    assert reply.taken == ("vm1",)
    assert reply.orders[0].exchange_order_id == "7"
    (sent,) = [one for one in exchange.requests if one.method == "POST"]
    fields = dict(pair.split("=") for pair in sent.body.decode().split("&"))
    assert (fields["price"], fields["quantity"]) == (price, amount)


async def test_a_request_is_never_sent_twice() -> None:
    exchange = Exchange()
    exchange.answers["order"] = OutcomeUnknown("POST /order", "no complete answer within 10 s")
    with pytest.raises(OutcomeUnknown):
        await answered(exchange, "0.1", "100")
    assert [one.method for one in exchange.requests].count("POST") == 1


@pytest.mark.parametrize(
    ("status", "code", "text", "error"),
    [
        (400, -2010, "Account has insufficient balance for requested action.", Rejected),
        (401, -2015, "Invalid API-key, IP, or permissions for action.", Misconfigured),
        (429, -1003, "Too many requests.", RetryLater),
        (503, -1000, "Service unavailable.", OutcomeUnknown),
        (503, -2010, "Account has insufficient balance for requested action.", OutcomeUnknown),
    ],
)
async def test_errors_of_ccxt_are_typed_by_what_the_caller_can_do(
    status: int, code: int, text: str, error: type
) -> None:
    exchange = Exchange()
    exchange.answers["order"] = status, orjson.dumps({"code": code, "msg": text})
    with pytest.raises(error):
        await answered(exchange, "0.1", "100")


async def test_the_decimal_context_of_the_process_stays() -> None:
    """ccxt sets its own rounding, and a trap, in the current context."""
    before = decimal.getcontext().copy()
    exchange = Exchange()
    exchange.answers["order"] = 200, orjson.dumps({"symbol": "BTCUSDT", "orderId": 7, "clientOrderId": "vm1"})
    await answered(exchange, "0.1", "100")
    assert repr(decimal.getcontext()) == repr(before)


def test_secrets_are_in_no_repr_and_nothing_pickles() -> None:
    auth = connector("ccxt:okx").auth("hmac", "KEYKEYKEYKEY", SECRET, passphrase="words")
    codec = connector("ccxt:okx").trading()
    signed = auth.sign(codec.account(), "1", NOW_NS, 5_000)
    shown = f"{auth!r} {signed!r} {signed.request!r} {signed.text}"
    assert SECRET not in shown
    assert "words" not in shown
    assert "KEYKEYKEYKEY" not in shown
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(auth)


async def test_a_session_names_the_errors_of_ccxt() -> None:
    exchange = Exchange()

    async def ask(one: Any) -> Any:
        return await one.fetch_order_book("NO/PAIR")

    with pytest.raises(Failed) as caught:
        await Session("binance").call(ask, exchange.send)
    assert caught.value.kinds[0] == "BadSymbol"


@pytest.mark.parametrize("settings", ["[]", "{", '{"apiKey": "K"}'])
def test_settings_that_are_no_settings_are_refused(settings: str) -> None:
    with pytest.raises(Misconfigured, match="settings"):
        connector("ccxt:binance").codec(settings=settings)


def test_every_exchange_of_ccxt_loads_with_limits_and_says_what_it_offers() -> None:
    ids = exchange_ids()
    assert len(ids) > 100
    for exchange_id in ids:
        found = ccxt_connector(exchange_id)
        assert found.name == f"ccxt:{exchange_id}"
        assert found.spec.limits["requests"].amount >= 1
        assert found.spec.sequenced is False
        assert found.codec().ws_url().startswith(f"ccxt://{exchange_id}/")


def test_an_unknown_id_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownExchange, match="ccxt:kraken"):
        connector("ccxt:nosuch")


async def test_a_conversation_that_broke_off_after_a_change_has_an_unknown_outcome() -> None:
    class Two(Conversation):
        __slots__ = ()

        async def converse(self, send: Any) -> HttpResponse:
            await send(HttpRequest("POST", "http://one.test/"))
            return await send(HttpRequest("GET", "http://two.test/"))

    class Unreachable(Rest):
        async def send(self, request: HttpRequest, *given: Any, **named: Any) -> HttpResponse:
            if isinstance(request, Conversation):
                return await super().send(request, *given, **named)
            if request.method == "GET":
                raise RetryLater(1.0, "cannot be reached")
            return HttpResponse(200, {}, b"", 0, 0)

    with pytest.raises(OutcomeUnknown, match="a part of it was sent"):
        await Unreachable().send(Two("POST", "ccxt://two/parts"))


async def test_a_message_that_comes_between_two_waits_is_not_lost() -> None:
    session = Session("binance", ws="ws://127.0.0.1:9/ws")
    client = session.exchange.client("ws://127.0.0.1:9/ws")
    first = client.future("balance")
    client.resolve(1, "balance")
    client.resolve(2, "balance")  # the first wait has its result, and the next one has not begun
    client.resolve(3, "balance")
    client.resolve(0, "never waited for")
    assert await first == 1
    assert await client.future("balance") == 3
    assert not client.future("balance").done()
    assert not client.unheard
    await session.close()

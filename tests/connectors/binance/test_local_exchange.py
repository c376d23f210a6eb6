"""The connector against the local exchange, which was written from the same manual and shares no code with it.

Every kind of request over REST and over the websocket API, with keys of all three kinds, and the user stream: all
results agree with the exchange's own ledger.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal as D

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.fakes.clock import until as until_within
from tests.fakes.exchange_process import ExchangeProcess
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.connectors.exchange_clock import ClockOffset
from venuemesh.connectors.order_codec import Draft, Refusal, Reply
from venuemesh.connectors.reports import BalanceReport, ListReport, OrderReport, StreamEnded, StreamOpened
from venuemesh.connectors.transport import Rest
from venuemesh.connectors.transport.calls import Calls
from venuemesh.connectors.transport.feed import Feed
from venuemesh.model.errors import Misconfigured, OutcomeUnknown, Rejected
from venuemesh.model.events import Side
from venuemesh.model.instrument import Instrument
from venuemesh.model.order import NewOrder, Order, OrderStatus, OrderType, TimeInForce

HMAC = "secret-of-the-hmac-key"
KEYS = {"rsa": generate_private_key(65537, 2048), "ed25519": Ed25519PrivateKey.generate()}
IDS = itertools.count(1)
MARKET: dict[str, D] = {}


@pytest.fixture(scope="module")
def exchange() -> Iterator[ExchangeProcess]:
    with ExchangeProcess("--account", f"main:key-hmac-0:{HMAC}:BTC=10,USDT=1000000", without_limits=True) as process:
        for kind, key in KEYS.items():
            pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
            process.admin.add_key("main", f"key-{kind}-0", public_key=pem)
        MARKET["top"] = D(process.admin.book("BTCUSDT")["bids"][0][0])
        yield process


async def until(condition: object) -> None:
    await until_within(condition, 30.0)


def price(part: str) -> str:
    """Return a price as a share of the market's price at the start: "0.9" rests as a buy."""
    return str((MARKET["top"] * D(part)).quantize(D("0.01")))


def auth(kind: str):
    if kind == "hmac":
        return CONNECTOR.auth("hmac", "key-hmac-0", HMAC)
    secret = KEYS[kind].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return CONNECTOR.auth(kind, f"key-{kind}-0", secret)


class Desk:
    """One account over one transport, and its user stream."""

    def __init__(self, exchange: ExchangeProcess, kind: str, over_calls: bool) -> None:
        self.codec = CONNECTOR.trading(rest=exchange.rest, ws_api=exchange.ws_api)
        self.market = CONNECTOR.codec(rest=exchange.rest, ws=exchange.ws)
        self.auth, self.over_calls = auth(kind), over_calls
        self.rest = Rest(timeout_s=10.0)
        self.clock = ClockOffset()
        self.failures: list[BaseException] = []
        self.calls = Calls(self.codec, on_failure=self.failures.append, wait_s=10.0)
        self.received: list[object] = []
        self.feed = Feed(self.codec.stream_url, self, on_failure=self.failures.append)
        self.rest_timeout_s = self.calls_timeout_s = 10.0
        self.pair: Instrument

    async def start(self) -> None:
        for _ in range(3):
            sent_ns = time.monotonic_ns()
            answer = await self.rest.send(self.market.time_request())
            self.clock.add(sent_ns, time.monotonic_ns(), self.market.server_time(answer.body))
        listed = self.market.instruments((await self.rest.send(self.market.instruments_request())).body)
        self.pair = next(one for one in listed if one.name == "BTC-USDT")
        self.calls.start()
        self.feed.start()
        await until(lambda: StreamOpened("stream") in self.received)

    async def stop(self) -> None:
        await self.feed.stop()
        await self.calls.stop()
        await self.rest.close()
        assert self.failures == []

    def now_ns(self) -> int:
        return self.clock.exchange_now_ns(time.monotonic_ns())

    async def ask(self, draft: Draft, later_ms: int = 0) -> Reply:
        request_id = f"r{next(IDS)}"
        now_ns = self.now_ns() + later_ms * 1_000_000
        if self.over_calls:
            signed = self.auth.sign_call(draft, request_id, now_ns, 5000)
            return self.codec.reply(signed, await self.calls.send(signed, self.calls_timeout_s))
        signed = self.auth.sign(draft, request_id, now_ns, 5000)
        return self.codec.reply(signed, await self.rest.send(signed.request, self.rest_timeout_s))

    async def heard(self, cid: str, status: OrderStatus) -> OrderReport:
        """Return the stream's first report that meets the condition."""
        found: list[OrderReport] = []

        def is_reported() -> bool:
            found[:] = [
                one
                for one in self.received
                if isinstance(one, OrderReport) and one.client_order_id == cid and one.status is status
            ]
            return bool(found)

        await until(is_reported)
        return found[0]

    # the handler of the stream's feed

    def on_open(self, link) -> None:
        for frame in self.codec.stream_open(self.auth, "stream", self.now_ns(), 5000):
            link.send(frame)

    def on_frame(self, frame, recv_ns: int) -> None:
        self.received += self.codec.stream_decode(frame, recv_ns)

    def on_close(self, reason: str) -> None: ...


@pytest.fixture(params=["hmac-rest", "hmac-calls", "rsa-rest", "ed25519-calls", "rsa-calls", "ed25519-rest"])
async def desk(request, exchange: ExchangeProcess) -> AsyncIterator[Desk]:
    kind, _, way = request.param.partition("-")
    desk = Desk(exchange, kind, way == "calls")
    await desk.start()
    yield desk
    exchange.admin.cancel_all("main")
    await desk.stop()


@pytest.fixture(params=["hmac-rest", "ed25519-calls"])
async def two(request, exchange: ExchangeProcess) -> AsyncIterator[Desk]:
    """One account for each transport, for tests that do not depend on the kind of key."""
    kind, _, way = request.param.partition("-")
    desk = Desk(exchange, kind, way == "calls")
    await desk.start()
    yield desk
    exchange.admin.cancel_all("main")
    await desk.stop()


def new(side=Side.BUY, kind=OrderType.LIMIT, amount="0.5", at="0.9", **fields) -> NewOrder:
    number = {name: D(value) for name, value in fields.items() if name in ("stop_price", "quote_amount")}
    return NewOrder(
        f"o{next(IDS)}",
        "BTC-USDT",
        side,
        kind,
        None if amount is None else D(amount),
        None if at is None else D(price(at)),
        **(fields | number),
    )


def standing(order: NewOrder, exchange_order_id: str | None = None) -> Order:
    return Order(
        "binance",
        "main",
        order.client_order_id,
        order.pair,
        order.side,
        order.order_type,
        order.amount,
        order.price,
        order.time_in_force,
        OrderStatus.OPEN,
        1,
        1,
        exchange_order_id=exchange_order_id,
    )


async def test_an_order_from_placing_to_its_end(desk: Desk) -> None:
    order = new()
    (placed,) = (await desk.ask(desk.codec.place(order, desk.pair))).orders
    assert (placed.status, placed.client_order_id) == (OrderStatus.OPEN, order.client_order_id)
    (asked,) = (await desk.ask(desk.codec.query(order.client_order_id, desk.pair))).orders
    assert (asked.exchange_order_id, asked.amount, asked.price) == (placed.exchange_order_id, D("0.5"), order.price)
    open_ = (await desk.ask(desk.codec.open_orders())).orders
    assert [one.client_order_id for one in open_] == [order.client_order_id]
    (ended,) = (await desk.ask(desk.codec.cancel(standing(order, placed.exchange_order_id), desk.pair))).orders
    assert (ended.status, ended.client_order_id) == (OrderStatus.CANCELED, order.client_order_id)
    heard = await desk.heard(order.client_order_id, OrderStatus.CANCELED)
    assert heard.exchange_order_id == placed.exchange_order_id
    # our id finds it after the cancel, too: "not there" would look like a proof of absence
    (again,) = (await desk.ask(desk.codec.query(order.client_order_id, desk.pair))).orders
    assert again.status is OrderStatus.CANCELED


async def test_fills_say_the_same_in_the_answer_the_list_and_the_stream(two: Desk) -> None:
    order = new(kind=OrderType.MARKET, at=None, amount="0.3")
    (placed,) = (await two.ask(two.codec.place(order, two.pair))).orders
    assert placed.status is OrderStatus.FILLED
    listed = (await two.ask(two.codec.fills(two.pair, None, placed.exchange_order_id))).fills
    await two.heard(order.client_order_id, OrderStatus.FILLED)
    reports = [
        one for one in two.received if isinstance(one, OrderReport) and one.client_order_id == order.client_order_id
    ]
    streamed = [fill for one in reports for fill in one.fills]

    def key(fill):
        return fill.trade_id, fill.price, fill.amount, fill.quote_amount, fill.fee, fill.fee_asset, fill.is_maker

    assert sorted(map(key, placed.fills)) == sorted(map(key, listed)) == sorted(map(key, streamed))
    assert sum(fill.amount for fill in listed) == placed.filled == D("0.3")
    after = (await two.ask(two.codec.fills_after(two.pair, listed[0].trade_id))).fills
    assert [one.trade_id for one in after] == [one.trade_id for one in listed[1:]]


async def test_balances_of_the_stream_and_the_account_agree(two: Desk) -> None:
    order = new()
    await two.ask(two.codec.place(order, two.pair))
    account = (await two.ask(two.codec.account())).account
    await until(lambda: any(isinstance(one, BalanceReport) for one in two.received))
    last = [one for one in two.received if isinstance(one, BalanceReport)][-1]
    assert last.balances["USDT"] == account.balances.balances["USDT"]
    assert account.balances.balances["USDT"][1] == order.price / 2
    assert account.can_trade
    fees = (await two.ask(two.codec.fees(two.pair))).fees
    assert (fees.maker, fees.taker) == (account.maker_fee, account.taker_fee)


async def test_by_quote_amount_ioc_fok_and_post_only(two: Desk) -> None:
    spend = new(kind=OrderType.MARKET, at=None, amount=None, quote_amount="1000")
    (placed,) = (await two.ask(two.codec.place(spend, two.pair))).orders
    assert (placed.status, placed.quote_amount) == (OrderStatus.FILLED, D(1000))
    assert placed.quote_filled <= 1000
    for time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
        order = new(time_in_force=time_in_force)
        (ended,) = (await two.ask(two.codec.place(order, two.pair))).orders
        assert ended.status is OrderStatus.EXPIRED
        heard = await two.heard(order.client_order_id, OrderStatus.EXPIRED)
        assert (heard.code, ended.code) == (
            f"UNFILLED_{'IOC_QUANTITY' if heard.code[9] == 'I' else 'FOK_ORDER'}_EXPIRED",
        ) * 2
    crossing = new(kind=OrderType.LIMIT_MAKER, at="1.05")
    with pytest.raises(Rejected) as caught:
        await two.ask(two.codec.place(crossing, two.pair))
    assert caught.value.code == "-2010"


async def test_an_amendment_keeps_the_id_and_the_order(two: Desk) -> None:
    order = new()
    (placed,) = (await two.ask(two.codec.place(order, two.pair))).orders
    known = standing(order, placed.exchange_order_id)
    (amended,) = (await two.ask(two.codec.amend(known, two.pair, D("0.2")))).orders
    assert (amended.amount, amended.client_order_id) == (D("0.2"), order.client_order_id)
    assert amended.exchange_order_id == placed.exchange_order_id
    with pytest.raises(Rejected) as caught:
        await two.ask(two.codec.amend(known, two.pair, D("0.4")))
    assert two.codec.refusal(caught.value.code, caught.value.reason) is Refusal.REJECTED
    (asked,) = (await two.ask(two.codec.query(order.client_order_id, two.pair))).orders
    assert (asked.amount, asked.status) == (D("0.2"), OrderStatus.OPEN)


async def test_a_replacement_and_one_that_stops(two: Desk) -> None:
    old, fresh = new(), new(at="0.91")
    (placed,) = (await two.ask(two.codec.place(old, two.pair))).orders
    known = standing(old, placed.exchange_order_id)
    answer = await two.ask(two.codec.replace(known, two.pair, fresh))
    assert [one.client_order_id for one in answer.orders] == [old.client_order_id, fresh.client_order_id]
    assert [one.status for one in answer.orders] == [OrderStatus.CANCELED, OrderStatus.OPEN]
    late = new(at="0.92")
    answer = await two.ask(two.codec.replace(known, two.pair, late))  # the old one is gone: nothing is placed
    assert answer.orders == ()
    assert [row[0] for row in answer.refused] == [old.client_order_id, late.client_order_id]
    assert two.codec.refusal(*answer.refused[0][1:]) is Refusal.NOT_THERE
    assert (await two.ask(two.codec.query(late.client_order_id, two.pair))).absent
    (asked,) = (await two.ask(two.codec.query(old.client_order_id, two.pair))).orders
    assert asked.status is OrderStatus.CANCELED


async def test_lists_are_placed_reported_and_cancelled(two: Desk) -> None:
    await two.ask(
        two.codec.place(new(kind=OrderType.MARKET, at=None, amount="0.01"), two.pair)
    )  # there is a last price
    take = new(Side.SELL, OrderType.LIMIT_MAKER, "0.1", "1.1")
    stop = new(Side.SELL, OrderType.STOP_LOSS_LIMIT, "0.1", "0.89", stop_price=price("0.9"))
    answer = await two.ask(two.codec.place_list("OCO", [take, stop], two.pair, f"l{next(IDS)}"))
    assert {one.client_order_id for one in answer.orders} == {take.client_order_id, stop.client_order_id}
    (of_list,) = answer.lists
    await until(lambda: any(isinstance(one, ListReport) and one.list_id == of_list.list_id for one in two.received))
    ended = await two.ask(two.codec.cancel(standing(take), two.pair))
    assert take.client_order_id in {one.client_order_id for one in ended.orders}
    assert {one.status for one in ended.orders} == {OrderStatus.CANCELED}
    working, pending = new(), new(Side.SELL, OrderType.MARKET, at=None)
    answer = await two.ask(two.codec.place_list("OTO", [working, pending], two.pair, f"l{next(IDS)}"))
    assert [one.status for one in answer.orders] == [OrderStatus.OPEN, OrderStatus.OPEN]
    cancelled = await two.ask(two.codec.cancel(standing(working), two.pair))
    assert working.client_order_id in {one.client_order_id for one in cancelled.orders}


async def test_a_cancel_of_all(two: Desk) -> None:
    orders = [new(at=f"0.9{n}") for n in range(3)]
    placed = [(await two.ask(two.codec.place(order, two.pair))).orders[0] for order in orders]
    answer = await two.ask(two.codec.cancel_all(two.pair))
    assert {one.client_order_id for one in answer.orders} == {one.client_order_id for one in orders}
    assert (await two.ask(two.codec.cancel_all(two.pair))).absent
    # the cancels of it have taken our ids away; by the exchange's id each is found, and reported under ours
    for order, before in zip(orders, placed, strict=True):
        draft = two.codec.query(order.client_order_id, two.pair, before.exchange_order_id)
        (asked,) = (await two.ask(draft)).orders
        assert (asked.status, asked.client_order_id) == (OrderStatus.CANCELED, order.client_order_id)


async def test_refusals(two: Desk) -> None:
    assert (await two.ask(two.codec.query("never-seen", two.pair))).absent
    order = new()
    with pytest.raises(Rejected) as caught:
        await two.ask(two.codec.cancel(standing(order), two.pair))
    assert two.codec.refusal(caught.value.code, caught.value.reason) is Refusal.NOT_THERE
    await two.ask(two.codec.place(order, two.pair))
    with pytest.raises(Rejected) as caught:
        await two.ask(two.codec.place(order, two.pair))
    assert two.codec.refusal(caught.value.code, caught.value.reason) is Refusal.DUPLICATE
    with pytest.raises(Rejected) as caught:
        await two.ask(two.codec.place(new(amount="1000"), two.pair))
    assert two.codec.refusal(caught.value.code, caught.value.reason) is Refusal.REJECTED
    for later_ms in (-5001, 1500):
        with pytest.raises(Rejected) as caught:
            await two.ask(two.codec.account(), later_ms)
        assert two.codec.refusal(caught.value.code, caught.value.reason) is Refusal.CLOCK
    two.auth = CONNECTOR.auth("hmac", "key-hmac-0", "not the secret")
    with pytest.raises(Misconfigured):
        await two.ask(two.codec.account())
    two.auth = CONNECTOR.auth("hmac", "key-of-nobody", "not the secret")
    with pytest.raises(Misconfigured):
        await two.ask(two.codec.account())


async def test_accepted_and_then_no_word_of_it(two: Desk, exchange: ExchangeProcess) -> None:
    order = new()
    exchange.admin.fault(kind="accept_then_status", status=503, account="main", count=1)
    try:
        with pytest.raises(OutcomeUnknown):
            await two.ask(two.codec.place(order, two.pair))
    finally:
        exchange.admin.clear_faults()
    (asked,) = (await two.ask(two.codec.query(order.client_order_id, two.pair))).orders
    assert asked.status is OrderStatus.OPEN


@pytest.mark.parametrize(
    ("kind", "there"),
    [("disconnect", False), ("status", False), ("accept_then_cut", True), ("accept_then_hang", True), ("late", True)],
)
async def test_no_word_is_never_a_no(two: Desk, exchange: ExchangeProcess, kind: str, there: bool) -> None:
    """After any loss on the way the outcome is unknown; a query by our id finds it."""
    order = new()
    draft = two.codec.place(order, two.pair)
    two.rest_timeout_s = two.calls_timeout_s = 0.3 if kind in ("accept_then_hang", "late") else 10.0
    exchange.admin.fault(kind=kind, account="main", count=1, **({"status": 504} if kind == "status" else {"ms": 600}))
    try:
        with pytest.raises(OutcomeUnknown):
            await two.ask(draft)
    finally:
        exchange.admin.clear_faults()
    two.rest_timeout_s = two.calls_timeout_s = 10.0
    if there:
        heard = await two.heard(order.client_order_id, OrderStatus.OPEN)
        (asked,) = (await two.ask(two.codec.query(order.client_order_id, two.pair))).orders
        assert asked.exchange_order_id == heard.exchange_order_id
    else:
        assert (await two.ask(two.codec.query(order.client_order_id, two.pair))).absent
    receipt = exchange.admin.receipt("main", order.client_order_id)
    assert receipt["received"] <= 1  # sent once, with any outcome


async def test_the_end_of_the_stream_is_reported(exchange: ExchangeProcess) -> None:
    desk = Desk(exchange, "hmac", False)
    await desk.start()
    try:
        exchange.admin.expire("main", "key-hmac-0")
        await until(lambda: any(isinstance(one, StreamEnded) for one in desk.received))
    finally:
        await desk.stop()


async def test_many_calls_at_once(exchange: ExchangeProcess) -> None:
    desk = Desk(exchange, "ed25519", True)
    await desk.start()
    try:
        orders = [new(at=f"0.9{n:02}", amount="0.01") for n in range(50)]
        answers = await asyncio.gather(*(desk.ask(desk.codec.place(order, desk.pair)) for order in orders))
        assert [one.orders[0].client_order_id for one in answers] == [one.client_order_id for one in orders]
        ledger = exchange.admin.orders("main", status="NEW")
        ours = {row["client_order_id"] for row in ledger["orders"]}
        assert {one.client_order_id for one in orders} <= ours
    finally:
        exchange.admin.cancel_all("main")
        await desk.stop()

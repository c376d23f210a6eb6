"""A protocol is one folder: the generic server knows no protocol, finds each by name, and serves several on one
market."""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.exchange.conftest import Exchange, HandClock
from venuemesh import exchange as package
from venuemesh.exchange.account_options import parse_account
from venuemesh.exchange.engine.accounts import Account, OrderList, Ticket
from venuemesh.exchange.engine.market import Aggregate, ExecutionReport, Market, OrderChange, Trade
from venuemesh.exchange.face import Protocol, find_protocols, protocol_names
from venuemesh.exchange.faults import Fault
from venuemesh.exchange.floor import Floor
from venuemesh.exchange.options import Options, parse
from venuemesh.exchange.server import Server
from venuemesh.exchange.wire.connection import Connection, ConnectionLimits
from venuemesh.exchange.wire.executor import execute
from venuemesh.exchange.wire.frames import text_frame
from venuemesh.exchange.wire.http import HttpChannel
from venuemesh.exchange.wire.numbers import read_decimal, text
from venuemesh.exchange.wire.sockets import converse
from venuemesh.exchange.wire.topics import Topic, Topics
from venuemesh.exchange.wire.user_data import Subscription, UserData
from venuemesh.model.errors import Misconfigured, Rejected
from venuemesh.model.events import Side

ROOT = Path(package.__path__[0]).resolve()


class Order:
    """One placement over HTTP. As at many exchanges, the status is always 200 and the body states the error."""

    protocol = "plain"
    names = ("/order",)
    slow_executes_first = False

    def __init__(self, face: Plain, request: web.Request, sent: dict[str, str]) -> None:
        self.face, self.sent = face, sent
        self.channel = HttpChannel(request, face.floor.faults, self)
        self.symbol = sent["pair"].replace("/", "")
        self.account = face.floor.engine.accounts[sent["account"]]
        self.receipts = face.floor.receipts_of(self.account).received([sent.get("id")])

    def run(self) -> dict[str, Any]:
        size, price = read_decimal(self.sent["size"]), read_decimal(self.sent["price"])
        ticket = Ticket(Side.BUY, "LIMIT", size, price, client_id=self.sent["id"])
        self.face.floor.count("/order", 200)
        try:
            order = self.face.floor.engine.submit(self.account, self.symbol, ticket, self.face.floor.clock.now_ns())
        except Rejected as rejected:
            return {"error": rejected.code}
        return {"error": None, "order": order.id}

    def good(self, answer: dict[str, Any]) -> bool:
        return answer["error"] is None

    placed = good

    def misstate(self, answer: dict[str, Any], wrong: Any) -> dict[str, Any]:
        return answer

    def refusal(self, fault: Fault) -> dict[str, Any]:
        return {"error": "BUSY"}

    def unknown(self, fault: Fault, answer: dict[str, Any]) -> dict[str, Any]:
        return {"error": fault.code or "WHO_KNOWS"}

    def send(self, answer: dict[str, Any]) -> None:
        self.channel.send(web.json_response(answer))

    def send_half(self, answer: dict[str, Any]) -> None:
        self.channel.send_half(web.json_response(answer))

    def cut(self) -> None:
        self.channel.cut()


class Plain:
    """A protocol that shares nothing with Binance's: pairs with a slash, orders one by one, errors inside HTTP 200."""

    name = "plain"
    unknown_outcomes = ("WHO_KNOWS",)

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.limits = ConnectionLimits(ping_s=0.0, idle_s=30.0)
        self.topics: Topics[Connection, Topic, None] = Topics(
            floor.faults, lambda connection: None, lambda symbol: None
        )
        self.user_data: UserData[Subscription] = UserData(floor.faults, floor.later)

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        return [web.post("/order", self._order), web.get("/feed", self._feed)]

    def urls(self, host: str) -> Mapping[str, str]:
        return {"rest": f"http://{host}", "ws_private": f"ws://{host}/feed"}

    async def _order(self, request: web.Request) -> web.StreamResponse:
        envelope = Order(self, request, await request.json())
        execute(self.floor.faults, envelope)
        return await envelope.channel.response()

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        def connect(number: int, transport: asyncio.Transport) -> Connection:
            return Connection(number, self.name, "", transport, self.limits, self.floor.clock.monotonic_ns())

        def receive(connection: Connection, message: bytes) -> None:
            asked = json.loads(message)
            if "account" in asked:
                account = self.floor.engine.accounts[asked["account"]]
                self.user_data.add(Subscription(1, connection, account, account.key))
            else:
                symbol = asked["pair"].replace("/", "")
                self.topics.subscribe(connection, asked["pair"], lambda name: Topic(name, symbol))
            connection.write(text_frame(b'{"ok":true}'))

        def closed(connection: Connection) -> None:
            self.topics.drop(connection)
            self.user_data.drop(connection)

        return await converse(self.floor, request, connect, lambda connection: None, receive, closed)

    def listed(self, market: Market) -> None:
        market.order_watchers.append(self._order_changed)

    def _order_changed(self, market: Market, change: OrderChange) -> None:
        fields = (change.kind, change.order_id, change.side.name, text(change.price), text(change.size))
        for topic in self.topics.of(market.symbol):
            self.topics.send(topic, lambda form: json.dumps(fields).encode())

    def report(self, report: ExecutionReport) -> None:
        for subscription in self.user_data.to(report.account):
            event = {"order": report.order.id, "what": report.kind}
            self.user_data.send(subscription, report.kind, text_frame(json.dumps(event).encode()), report.order.symbol)

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None: ...
    def top(self, market: Market) -> None: ...
    def order_list(self, group: OrderList, kind: str, now_ns: int) -> None: ...
    def delisted(self, market: Market) -> None: ...
    def tick(self, number: int) -> None: ...
    def flush(self, market: Market) -> None: ...
    def balance_changed(self, account: Account, asset: str, delta: int, now_ns: int) -> None: ...
    def locked_outside(self, account: Account, asset: str, delta: int, now_ns: int) -> None: ...
    def forgive(self) -> None: ...

    def flush_user_data(self) -> None:
        self.user_data.flush()

    def listeners(self, account: Account) -> set[Connection]:
        return self.user_data.listeners(account)

    def end_user_data(self, account: Account, key: str | None = None) -> int:
        return 0

    def announce_shutdown(self, connections: Iterable[Connection]) -> int:
        return len(list(connections))

    def describe(self, connection: Connection) -> dict[str, Any]:
        return {"private": bool(self.user_data.on(connection))}

    def statistics(self) -> dict[str, Any]:
        sent = dict(self.user_data.sent)
        topics = self.topics
        counts = {"messages_encoded": topics.messages, "frames_sent": topics.frames, "streams": len(topics.by_name)}
        return {**counts, "user_events": sent}


class Both(Exchange):
    """An exchange that serves Binance's protocol and the plain one."""

    def __init__(self, server: Server, clock: HandClock, session: aiohttp.ClientSession) -> None:
        super().__init__(server, clock, session)
        self.plain: dict[str, str] = server.urls["protocols"]["plain"]

    async def order(self, name: str, price: str = "60000", **fields: str) -> dict[str, Any]:
        sent = {"account": "main", "pair": "BTC/USDT", "price": price, "size": "0.01", "id": name, **fields}
        async with self.session.post(self.plain["rest"] + "/order", json=sent) as response:
            assert response.status == 200
            return dict(await response.json())

    def feed(self) -> Any:
        return self.session.ws_connect(self.plain["ws_private"])


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    clock = HandClock()
    account = parse_account("main:KEY:SECRET:BTC=10,USDT=1000000")
    options = Options(symbols=("BTCUSDT", "ETHUSDT"), rate=600.0, levels=50, paused=True, accounts=[account])
    protocols = [*find_protocols(["binance"]), Protocol("plain", Plain)]
    server = Server(options, clock, protocols)
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield Both(server, clock, session)
    await server.stop()


async def test_several_protocols_serve_one_market(both: Both) -> None:
    """An order of one protocol is in the other protocol's book, in the ledger and in both fan-outs."""
    async with both.feed() as feed, both.socket("/ws/btcusdt@depth@100ms") as depth:
        assert await both.ask(feed, {"pair": "BTC/USDT"}) == {"ok": True}
        assert await both.ask(feed, {"account": "main"}) == {"ok": True}
        await both.eventually(lambda: "btcusdt@depth@100ms" in both.topics.by_name)
        placed = await both.order("one")
        price, size = "60000.00000000", "0.01000000"
        assert await both.next_json(feed) == ["add", placed["order"], "BUY", price, size]
        assert await both.next_json(feed) == {"order": placed["order"], "what": "NEW"}
        both.advance(100)
        diff = await both.next_json(depth)
        assert [price, size] in [[p, s] for p, s in diff["b"]]
        await both.admin.fill("BTCUSDT", placed["order"], "0.004")
        while (change := await both.next_json(feed))[1:2] != [placed["order"]]:
            assert isinstance(change, list)
        assert change == ["change", placed["order"], "BUY", price, "0.00600000"]
        while not isinstance(event := await both.next_json(feed), dict):
            pass
        assert event == {"order": placed["order"], "what": "TRADE"}
        assert (await both.admin.receipt("main", "one"))["accepted"] == 1
        stats = await both.admin.stats()
        assert set(stats["protocols"]) == {"binance", "plain"}
        assert stats["user_events"] == stats["protocols"]["plain"]["user_events"] == {"NEW": 1, "TRADE": 1}
        assert stats["streams"] == 2
        listed = (await both.admin.connections())["connections"]
        assert {(each["protocol"], each.get("private"), each.get("api")) for each in listed} == {
            ("plain", True, None),
            ("binance", None, False),
        }
        cut = await both.admin.cut(account="main")
        assert cut == {"cut": [each["id"] for each in listed if each["protocol"] == "plain"]}


async def test_every_protocol_has_its_own_port(both: Both) -> None:
    assert set(both.server.urls) == {"binance", "plain", "protocols", "admin"}
    ports = {url.split(":")[2].split("/")[0] for url in (both.base, both.plain["rest"], both.admin.base)}
    assert len(ports) == 3
    assert (await both.get("time"))[0] == 200


async def test_faults_act_on_one_protocol_and_on_refusals_inside_a_good_status(both: Both) -> None:
    """`accept_then_*` act on an answer that is a success by the protocol, with any HTTP status."""
    await both.admin.fault(kind="accept_then_status", protocol="plain", count=1)
    assert (await both.get("time"))[0] == 200
    assert await both.order("poor", size="100") == {"error": "INSUFFICIENT_BALANCE"}
    assert await both.order("lost") == {"error": "WHO_KNOWS"}
    receipt = await both.admin.receipt("main", "lost")
    assert (receipt["received"], receipt["accepted"]) == (1, 1)
    await both.admin.fault(kind="status", protocol="plain", count=1)
    assert await both.order("busy") == {"error": "BUSY"}
    receipt = await both.admin.receipt("main", "busy")
    assert (receipt["received"], receipt["accepted"], receipt["refused"]) == (1, 0, 0)
    for unfit in ({"code": -1007, "protocol": "plain"}, {"code": "WHO_KNOWS", "protocol": "binance"}):
        with pytest.raises(Rejected):
            await both.admin.fault(kind="accept_then_status", **unfit)
    with pytest.raises(Rejected):
        await both.admin.fault(kind="drop", protocol="nobody")


@pytest.mark.parametrize("kind", ["accept_then_cut", "disconnect"])
async def test_faults_end_http_connections(both: Both, kind: str) -> None:
    await both.admin.fault(kind=kind, protocol="plain", count=1)
    with pytest.raises(aiohttp.ClientError):
        await both.order("gone")
    receipt = await both.admin.receipt("main", "gone")
    assert (receipt["received"], receipt["accepted"]) == (1, int(kind == "accept_then_cut"))


async def test_limits_belong_to_a_protocol(both: Both) -> None:
    with pytest.raises(Rejected) as caught:
        await both.admin.limits()
    assert "binance, plain" in caught.value.reason
    assert (await both.admin.limits(protocol="plain"))["idle_s"] == 30.0
    assert (await both.admin.limits(protocol="plain", messages=7))["messages"] == 7
    assert (await both.admin.limits(protocol="binance"))["messages"] == 5
    with pytest.raises(Rejected):
        await both.admin.limits(protocol="plain", weight=1)


async def test_a_silent_client_is_ended_where_the_protocol_reports_it(both: Both) -> None:
    async with both.feed() as feed, both.socket("/ws") as other:
        await both.ask(feed, {"pair": "BTC/USDT"})
        both.advance(31_000, 1000)
        while (message := await asyncio.wait_for(feed.receive(), 20)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert (await both.ask(other, {"method": "LIST_SUBSCRIPTIONS", "id": 1}))["result"] == []


# ------------------------------------------------------------------------------------------------------- finding


def test_a_folder_with_a_protocol_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "__init__.py").write_text(
        textwrap.dedent("""
        from ..face import Protocol
        PROTOCOL = Protocol("acme", lambda floor: None)
        """)
    )
    before = protocol_names()
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    name = f"{package.__name__}.acme"
    try:
        assert protocol_names() == sorted(["acme", *before])
        assert [protocol.name for protocol in find_protocols(["acme", "binance"])] == ["acme", "binance"]
        assert parse(["--protocols", "acme,binance"]).protocols == ("acme", "binance")
        assert [protocol.name for protocol in find_protocols(())] == ["binance"]
    finally:
        sys.modules.pop(name, None)
        if hasattr(package, "acme"):
            del package.acme


def test_rooms_are_no_protocols() -> None:
    for name in ("engine", "wire", "admin", "nothing", ""):
        with pytest.raises(Misconfigured):
            find_protocols([name])


def test_nothing_outside_the_folder_of_a_protocol_names_it() -> None:
    names = protocol_names()
    for file in ROOT.rglob("*.py"):
        if file.relative_to(ROOT).parts[0] not in names:
            written = file.read_text().lower()
            assert not [name for name in names if name in written], file

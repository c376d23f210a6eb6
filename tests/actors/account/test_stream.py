"""The user stream role against fakes: it opens, watches, numbers, and sends until acknowledged; also by polling."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes.clock import FakeClock, until
from tests.fakes.context import context_of
from tests.fakes.trading import PAIR, PlainAuth, PlainCodec, fill_plain, order_plain
from tests.fakes.transport import FakeFeed, FakeRest, response
from venuemesh.actors.account.polling import _affordable_s
from venuemesh.actors.account.reports import Marker, Outbox, from_plain, to_plain
from venuemesh.actors.account.settings import GatewaySettings, StreamSettings
from venuemesh.actors.account.stream import UserStreamRole, masked
from venuemesh.actors.cell.role import Context
from venuemesh.actors.limits.counters import Counters
from venuemesh.connectors import registry
from venuemesh.connectors.kraken import CONNECTOR as KRAKEN
from venuemesh.connectors.order_codec import Draft, Kind, Reply, Signed
from venuemesh.connectors.reports import OrderReport
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.connectors.spec import Limit
from venuemesh.model.errors import OutcomeUnknown, Rejected, RetryLater
from venuemesh.model.http import HttpRequest, HttpResponse


class Rig:
    """A role, its fake feed, and a manager that acknowledges while `taking`."""

    def __init__(self, **changes: Any) -> None:
        self.clock = FakeClock()
        self.settings = StreamSettings(GatewaySettings(ConnectorSettings("acme")), "main", **changes)
        self.polling = self.settings.source == "polling"
        self.codec = PlainCodec(stream=not self.polling)
        self.received: list[tuple[int, dict[str, Any]]] = []  # number, report, as the manager got them
        self.batches: list[dict[str, Any]] = []
        self.taking = True
        self.refusal: Exception = RetryLater(0.0, "no role serves orders/acme/main")
        self.failures: list[BaseException] = []
        self.exchange: dict[str, Any] = {"/open": [], "/account": {}, "/order": [], "/fills": []}
        self.asked: list[str] = []
        self.held: list[dict[str, Any]] = []  # what the manager holds for open
        self.down: Exception | None = None
        self.unlisted: Exception | None = None  # what the catalog answers instead of the list
        self.feeds: list[FakeFeed] = []
        self.role: UserStreamRole

    async def ask(self, address: str, kind: str, body: Any = None, timeout_s: float = 5.0) -> Any:
        if address.startswith("limits/"):
            return {"lease": 1, "expires_ns": 0, "ttl_s": 10.0}
        if address == "catalog/acme" and self.unlisted is not None:
            raise self.unlisted
        if address == "catalog/acme":
            return {"version": 1, "instruments": [PAIR.to_dict()]}
        if kind == "orders":
            return {"rows": self.held, "next": None}
        assert (address, kind) == ("orders/acme/main", "reports")
        self.batches.append(body)
        if not self.taking:
            raise self.refusal
        numbered = list(enumerate(body["reports"], body["first"]))
        known = {number for number, _ in self.received}
        self.received += [one for one in numbered if one[0] not in known]
        return {"acked": body["first"] + len(numbered) - 1}

    def answer(self, request: HttpRequest) -> HttpResponse | Exception:
        path = request.url.partition("?")[0]
        if path == "/time":
            return response(json.dumps(self.clock.time_ns() + 5_000_000_000).encode())
        self.asked.append(request.url)
        if self.down is not None:
            return self.down
        return response(json.dumps(self.exchange[path]).encode())

    def connect(self, url: Any, handler: Any, **options: Any) -> FakeFeed:
        self.feeds.append(FakeFeed(url, handler, **options))
        return self.feeds[-1]

    def context(self) -> Context:
        return context_of("stream/acme/main", self.clock, incarnation=(3, 7), ask=self.ask, fail=self.failures.append)

    async def start(self) -> None:
        rest = FakeRest(self.answer)
        self.role = UserStreamRole(
            self.settings,
            self.context(),
            connect=self.connect,
            rest=rest,
            codec=self.codec,  # type: ignore[arg-type]
            auth=PlainAuth(),
            chance=lambda: 0.5,
        )
        await self.role.start()

    @property
    def feed(self) -> FakeFeed:
        return self.feeds[0]

    async def open(self) -> None:
        """Make a connection and confirm the stream as the exchange does."""
        await self.feed.options["admit"]()
        link = self.feed.open(self.clock.monotonic_ns())
        asked = json.loads(link.sent[0])
        self.feed.frame(json.dumps({"opened": asked["open"]}).encode())

    def marks(self) -> list[str]:
        return [plain["what"] for _, plain in self.received if plain["type"] == "marker"]

    def frame(self, *reports: dict[str, Any]) -> None:
        self.feed.frame(json.dumps(list(reports)).encode())

    async def caught_up(self) -> None:
        await until(lambda: self.role.status()["unacknowledged"] == 0)


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    made: list[Rig] = []

    async def make(**changes: Any) -> Rig:
        rig = Rig(**changes)
        monkeypatch.setattr(registry, "connector", lambda name: Acme(rig.codec))
        made.append(rig)
        await rig.start()
        return rig

    yield make
    for one in made:
        await one.role.stop()
        assert not one.failures


class Acme:
    name = "acme"

    def __init__(self, codec: PlainCodec) -> None:
        self.spec, self._codec = codec.spec, codec

    def codec(self, rest: str | None = None, ws: str | None = None) -> PlainCodec:
        return self._codec


async def test_it_opens_the_stream_with_the_exchanges_time_and_forwards_reports_in_order(rig):
    one = await rig()
    await one.open()
    assert json.loads(one.feed.link.sent[0])["at"] >= one.clock.time_ns() + 4_000_000_000
    one.frame(order_plain("a", "1"), order_plain("b", "2"))
    one.frame(order_plain("a", "1", "FILLED", fills=[fill_plain("t1", "2")]))
    await one.caught_up()
    assert [number for number, _ in one.received] == [1, 2, 3, 4]
    assert one.marks() == ["up"]
    assert [plain["client_order_id"] for _, plain in one.received[1:]] == ["a", "b", "a"]
    assert one.batches[0]["stream"] == [3, 7]
    assert one.role.status()["state"] == "LIVE"


async def test_unacknowledged_reports_are_sent_again_to_the_next_manager_and_none_is_lost(rig):
    one = await rig()
    one.taking = False
    await one.open()
    for number in range(450):
        one.frame(order_plain(f"o{number}", str(number)))
    await until(lambda: len(one.batches) >= 2)
    assert one.role.status()["unacknowledged"] == 451
    assert "orders/acme/main" in one.role.status()["error"]
    one.refusal = OutcomeUnknown("reports", "no answer")
    sent = len(one.batches)
    await until(lambda: len(one.batches) > sent)
    one.taking = True
    await one.caught_up()
    assert [number for number, _ in one.received] == list(range(1, 452))
    assert one.role.status()["error"] is None


async def test_more_than_it_may_keep_becomes_one_gap_in_the_sequence(rig):
    one = await rig(outbox=5)
    one.taking = False
    await one.open()
    for number in range(20):
        one.frame(order_plain(f"o{number}", str(number)))
    one.taking = True
    await one.caught_up()
    numbers = [number for number, _ in one.received]
    assert numbers == sorted(set(numbers))
    assert "gap" in one.marks()
    assert one.received[0][1]["what"] == "gap"
    assert one.received[-1][1]["client_order_id"] == "o19"
    assert one.role.status()["overflows"] >= 1


async def test_a_lost_connection_is_a_marker_in_its_place_and_the_next_one_opens_a_new_stream(rig):
    one = await rig()
    await one.open()
    one.frame(order_plain("a", "1"))
    one.feed.close("reset")
    assert one.role.status()["state"] == "CONNECTING"
    await one.open()
    one.frame(order_plain("b", "2"))
    await one.caught_up()
    kinds = [plain.get("what") or plain["client_order_id"] for _, plain in one.received]
    assert kinds == ["up", "a", "down", "up", "b"]


async def test_a_frame_that_cannot_be_read_is_a_gap(rig):
    one = await rig()
    await one.open()
    one.feed.frame(b"{broken")
    one.frame(order_plain("b", "2"))
    await one.caught_up()
    assert one.marks() == ["up", "gap"]
    assert one.role.status()["unreadable"] == 1


async def test_a_stream_that_the_exchange_ends_is_opened_on_a_new_connection(rig):
    one = await rig()
    await one.open()
    one.frame({"type": "ended", "reason": "expired"})
    await until(lambda: one.feed.reconnects)
    assert "expired" in one.feed.reconnects[0]
    await one.caught_up()
    assert [plain["type"] for _, plain in one.received] == ["marker", "ended", "marker"]
    assert one.marks() == ["up", "down"]


async def test_a_refused_stream_is_requested_again_on_a_new_connection(rig):
    one = await rig()
    await one.feed.options["admit"]()
    asked = json.loads(one.feed.open(one.clock.monotonic_ns()).sent[0])["open"]
    one.feed.frame(json.dumps({"opened": asked, "code": "401", "reason": "no such key"}).encode())
    await until(lambda: one.feed.reconnects)
    assert one.marks() == []
    assert "no such key" in one.role.status()["error"]


async def test_a_stream_that_is_not_confirmed_in_time_is_requested_again(rig):
    one = await rig()
    one.feed.open(one.clock.monotonic_ns())
    one.role.beat()
    assert not one.feed.reconnects
    one.clock.advance(11.0)
    one.role.beat()
    assert len(one.feed.reconnects) == 1


async def test_raw_frames_can_be_followed_and_show_no_secret(rig):
    one = await rig()
    await one.open()
    seen = (await one.role.poll("raw", {"after": 0}, 1.0))["next"]
    waiting = asyncio.ensure_future(one.role.poll("raw", {"after": seen}, 5.0))
    await asyncio.sleep(0)
    one.feed.frame(b"[]")
    answer = await waiting
    assert answer["next"] == seen + 1
    assert answer["frames"][0]["raw"] == "[]"
    assert (await one.role.poll("raw", {"after": answer["next"]}, 0.01))["frames"] == []
    with pytest.raises(Rejected):
        await one.role.poll("raw", {"after": "x"}, 0.01)


def test_masking_hides_credentials():
    frame = b'{"id":1,"params":{"apiKey":"abc","signature" : "d\\"ef","symbol":"BTCUSDT"}}'
    assert masked(frame) == '{"id":1,"params":{"apiKey":"***","signature" : "***","symbol":"BTCUSDT"}}'


def test_reports_travel_unchanged():
    taxed = fill_plain("u", "2") | {"more_fees": [["USDT", "-0.3"], ["BTC", "0.1"]]}
    plain = order_plain("a", "1", fills=[fill_plain("t", "1.50"), taxed], filled="3.50", list_id=None)
    report = from_plain(plain)
    assert isinstance(report, OrderReport)
    assert report.fills[1].fees == (("BTC", Decimal("0.001")), ("USDT", Decimal("-0.3")), ("BTC", Decimal("0.1")))
    assert from_plain(to_plain(report)) == report
    other = {"type": "balances", "balances": {"BTC": ["1.0", "0"]}, "whole": True, "ts_event_ns": 1, "unread": ["X"]}
    assert to_plain(from_plain(other)) == other
    assert from_plain(to_plain(Marker("gap", "why"))) == Marker("gap", "why")


def test_the_outbox_forgets_exactly_the_acknowledged_reports():
    box = Outbox(3)
    for _ in range(3):
        box.add(Marker("up"))
    box.acknowledge(2)
    assert box.batch(10)[0] == 3
    box.acknowledge(99)
    assert (len(box), box.acked) == (0, 3)
    assert box.batch(10) == (4, [])


async def test_polling_reports_changes_and_how_missing_orders_ended(rig):
    one = await rig(source="polling", poll_fast_s=0.01, poll_slow_s=0.05)
    assert not one.feeds
    one.exchange["/account"] = {"BTC": ["1", "0"]}
    await until(lambda: len(one.received) >= 2)
    assert [plain["type"] for _, plain in one.received] == ["marker", "balances"]
    one.exchange["/fills"] = [fill_plain("t1", "1")]
    one.exchange["/open"] = [order_plain("a", "1"), order_plain("b", "2", "PARTIALLY_FILLED", filled="1")]
    await until(lambda: len(one.received) >= 4)
    received = [plain for _, plain in one.received[2:4]]
    assert [(plain["client_order_id"], len(plain["fills"])) for plain in received] == [("a", 0), ("b", 1)]
    one.exchange["/order"] = [order_plain("a", "1", "CANCELED")]
    one.exchange["/open"] = [order_plain("b", "2", "PARTIALLY_FILLED", filled="1")]
    await until(lambda: len(one.received) >= 5)
    assert one.received[4][1]["status"] == "CANCELED"
    assert [bound.name for bound in one.codec.bound] == ["BTC-USDT"]
    rounds = one.role.status()["rounds"]
    await until(lambda: one.role.status()["rounds"] > rounds + 3)
    assert len(one.received) == 5  # nothing changed, so nothing is sent


async def test_polling_queries_orders_that_came_and_went_between_two_rounds(rig):
    one = await rig(source="polling", poll_fast_s=0.01, poll_slow_s=0.05)
    await until(lambda: one.marks() == ["up"])
    one.exchange["/order"] = [order_plain("quick", "9", "CANCELED")]
    one.held = [{"client_order_id": "quick", "exchange_order_id": "9", "pair": "BTC-USDT"}]
    await until(lambda: any(plain.get("client_order_id") == "quick" for _, plain in one.received))
    received, rounds = len(one.received), one.role.status()["rounds"]
    await until(lambda: one.role.status()["rounds"] > rounds + 3)
    assert len(one.received) == received


async def test_polling_does_not_query_an_order_whose_end_the_manager_knows(rig):
    """The order is no longer open, and the manager no longer holds it open; its balances are no gap."""
    one = await rig(source="polling", poll_fast_s=0.01, poll_slow_s=0.05)
    one.exchange["/account"] = {"BTC": ["1", "0"]}
    one.held = [{"client_order_id": "a", "exchange_order_id": "1", "pair": "BTC-USDT"}]
    one.exchange["/open"] = [order_plain("a", "1")]
    await until(lambda: any(plain.get("client_order_id") == "a" for _, plain in one.received))
    rounds = one.role.status()["rounds"]
    await until(lambda: one.role.status()["rounds"] > rounds + 1)
    one.exchange["/order"] = [order_plain("a", "1", "CANCELED")]
    one.exchange["/account"] = {"BTC": ["2", "0"]}
    one.held, one.exchange["/open"] = [], []
    await until(lambda: sum(plain["type"] == "balances" for _, plain in one.received) == 2)
    assert not [plain for _, plain in one.received if plain.get("status") == "CANCELED"]
    assert one.marks() == ["up"]


async def test_polling_reports_down_without_answers_and_up_again(rig):
    one = await rig(source="polling", poll_fast_s=0.01, poll_slow_s=0.05)
    await until(lambda: one.marks() == ["up"])
    one.down = OutcomeUnknown("GET /open", "cut")
    await until(lambda: one.role.status()["error"] is not None)
    one.role.beat()
    await one.caught_up()
    assert one.marks() == ["up"]
    one.clock.advance(31.0)
    one.role.beat()
    one.down = None
    await until(lambda: one.marks() == ["up", "down", "up"])
    assert one.role.status()["state"] == "LIVE"


async def test_polling_rarely_is_no_silence(rig):
    """A stream of this exchange may be silent for 30 s; with rounds every 60 s it is down after two missed rounds."""
    one = await rig(source="polling", poll_fast_s=60.0, poll_slow_s=60.0)
    await until(lambda: one.marks() == ["up"])
    one.clock.advance(100.0)
    one.role.beat()
    await one.caught_up()
    assert one.marks() == ["up"]
    one.clock.advance(21.0)
    one.role.beat()
    await until(lambda: one.marks() == ["up", "down"])


@pytest.mark.parametrize(("granted", "interval_s"), [({}, 8.0), ({"key_calls": Limit(40, 20.0, "account")}, 2.0)])
def test_fast_rounds_leave_three_quarters_of_a_counter_that_falls(granted: dict[str, Limit], interval_s: float) -> None:
    """Kraken's key counter falls by 0.5 a second, or at the rate that the exchange grants the account."""
    counters = Counters(KRAKEN.spec.key_limits, FakeClock().monotonic_ns)
    counters.granted(granted)
    gateway = SimpleNamespace(spec=KRAKEN.spec, codec=KRAKEN.trading(), counters=counters)
    assert _affordable_s(gateway) == interval_s  # type: ignore[arg-type]


class TokenCodec(PlainCodec):
    """Its stream needs a token, which a request every half hour extends."""

    def __init__(self, stream: bool = True) -> None:
        super().__init__(stream)
        self.offer = replace(self.offer, token_every_s=1800.0)
        self.used: list[str] = []

    def token(self) -> Draft:
        return self._draft(Kind.TOKEN, "/token")

    def use_token(self, token: str) -> None:
        self.used.append(token)

    def stream_open(self, auth: Any, request_id: str, now_ns: int, validity_ms: int) -> list[bytes]:
        return []

    def reply(self, signed: Signed, response: HttpResponse) -> Reply:
        if signed.draft.kind is not Kind.TOKEN:
            return super().reply(signed, response)
        return Reply(token=json.loads(response.body))


async def test_the_token_of_an_open_stream_is_extended_and_another_token_opens_another_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = Rig()
    one.codec = codec = TokenCodec()
    monkeypatch.setattr(registry, "connector", lambda name: Acme(one.codec))
    one.exchange["/token"] = "first"
    await one.start()

    async def beats(seconds: float, requests: int) -> None:
        one.clock.advance(seconds)
        one.role.beat()
        await until(lambda: len([url for url in one.asked if url.startswith("/token")]) == requests)

    try:
        await one.feed.options["admit"]()
        one.feed.open(one.clock.monotonic_ns())
        await beats(1799.0, 1)
        await beats(2.0, 2)
        await beats(1799.0, 2)
        one.down = OutcomeUnknown("POST /token", "no answer")
        await beats(2.0, 3)
        await until(lambda: "was not extended" in (one.role.status()["error"] or ""))
        assert one.role.status()["state"] == "LIVE"
        await beats(1.0, 3)  # not at once again
        one.down, one.exchange["/token"] = None, "second"
        await beats(5.0, 4)
        await until(lambda: bool(one.feed.reconnects))
        assert "another token" in one.feed.reconnects[0]
        assert codec.used == ["first"]
        await one.feed.options["admit"]()
        assert codec.used == ["first", "second"]
    finally:
        await one.role.stop()


async def test_a_codec_that_subscribes_pair_by_pair_knows_the_listed_pairs_before_each_connection(rig):
    one = await rig()
    await one.open()
    assert one.codec.bound == []
    one.codec.streams_pairs = True
    await one.open()
    assert one.codec.bound == [PAIR]
    one.unlisted = Rejected("odd", "no list")
    with pytest.raises(RetryLater, match="names no pairs"):
        await one.feed.options["admit"]()

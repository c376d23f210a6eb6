"""The catalog role against a fake exchange: its lists, conversions, cache, and reports to the budget."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from tests.fakes.clock import FakeClock, until
from tests.fakes.context import context_of
from venuemesh.actors.catalog.role import MOST_PROBED, CatalogRole
from venuemesh.actors.catalog.settings import CatalogSettings
from venuemesh.connectors.listing import Listing, listing
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.connectors.spec import CandleOffer, ExchangeSpec, Limit
from venuemesh.model.candle import Candle
from venuemesh.model.errors import (
    DecodeError,
    Misconfigured,
    NotOffered,
    OutcomeUnknown,
    Rejected,
    RetryLater,
    UnknownInstrument,
)
from venuemesh.model.events import DepthSnapshot
from venuemesh.model.http import HttpRequest, HttpResponse
from venuemesh.model.instrument import Instrument
from venuemesh.model.plain import from_plain, to_plain
from venuemesh.model.time import MINUTE_NS

SPEC = ExchangeSpec(
    exchange="acme",
    rest="https://acme.test",
    ws="wss://acme.test",
    endpoints={},
    limits={"weight": Limit(1000, 60.0)},
    silence_s=60.0,
    max_connection_s=86_400.0,
    max_streams=10,
    wire_decimals=8,
    streams_per_instrument=2,
    max_snapshot=5000,
    candles=CandleOffer({"1m": "1"}, page=2),
    used_headers={"x-used": "weight"},
    unknown_symbol=frozenset({"no_symbol"}),
)


def pair(name: str, **rules: Any) -> Instrument:
    base, quote = name.split("-")
    return Instrument("acme", name, base + quote, base, quote, 2, 3, **rules)


def minute(open_ns: int) -> Candle:
    one, volume = Decimal("1.50"), Decimal(open_ns % 977)
    return Candle(open_ns, open_ns + MINUTE_NS, one, one, one, one, volume, None, 3, True)


def read_row(plain: dict[str, object]) -> Instrument:
    """Read a row as codecs do: an odd one is a DecodeError."""
    try:
        return Instrument.from_dict(plain)
    except Misconfigured as error:
        raise DecodeError(str(error), None) from error


class AcmeCodec:
    """Bodies are JSON in our own plain form."""

    spec = SPEC
    snapshot_limit = 1000

    def instruments_request(self) -> HttpRequest:
        return HttpRequest("GET", "/instruments", cost=(("weight", 20),))

    def instruments(self, body: bytes) -> Listing:
        try:
            return listing(json.loads(body), read_row)
        except ValueError as error:
            raise DecodeError("not a list", str(error)) from error

    def tickers_request(self) -> HttpRequest:
        return HttpRequest("GET", "/tickers", cost=(("weight", 80), ("unheard-of", 1)))

    def tickers(self, body: bytes) -> dict[str, Any]:
        return dict(json.loads(body))

    def snapshot_request(self, instrument: Instrument, limit: int) -> HttpRequest:
        return HttpRequest("GET", f"/depth/{instrument.symbol}/{limit}", cost=(("weight", 5),))

    def snapshot(self, instrument: Instrument, body: bytes, limit: int, recv_ns: int) -> DepthSnapshot:
        bids, asks = (np.array(rows, dtype=np.int64).reshape(-1, 2) for rows in json.loads(body))
        complete = (len(bids) < limit, len(asks) < limit)
        return DepthSnapshot(instrument.symbol, 7, bids, asks, *complete, None, recv_ns)

    def candles_request(
        self, instrument: Instrument, interval: str, start_ns: int, end_ns: int, now_ns: int
    ) -> HttpRequest:
        return HttpRequest("GET", f"/candles/{instrument.symbol}/{interval}/{start_ns}/{end_ns}", cost=(("weight", 2),))

    def candles(self, instrument: Instrument, interval: str, response: HttpResponse) -> list[Candle]:
        return [from_plain(Candle, row) for row in json.loads(response.body)]

    def failure(self, response: HttpResponse) -> Exception | None:
        if response.status == 400:
            return Rejected(json.loads(response.body), "no")
        return None if response.status == 200 else RetryLater(3.0, f"HTTP {response.status}")


class Exchange:
    """Answers like a `Rest`; `status`, `error` and `hold` make it misbehave."""

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}  # codes of requests for books, by symbol
        self.odd: list[Any] = []  # unreadable rows of the list
        self.listed = [pair("BTC-USDT"), pair("ETH-BTC"), pair("OLD-BTC", status="BREAK"), pair("X-Y")]
        self.tickers: dict[str, Any] = {
            "BTCUSDT": {"last": "9", "bid": "100.00", "ask": "100.02", "volume": "5", "quote_volume": "500"},
            "ETHBTC": {"last": "0.05", "bid": None, "ask": "0.06", "volume": "20", "quote_volume": "1.5"},
            "XY": {"last": "2", "bid": "2", "ask": "2", "volume": "1", "quote_volume": "2"},
        }
        self.book: Any = [[[10000, 1500], [9999, 1]], [[10003, 2000]]]
        self.asked: list[str] = []
        self.status = 200
        self.error: Exception | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self.closed = False

    async def send(self, request: HttpRequest, timeout_s: float | None = None) -> HttpResponse:
        self.asked.append(request.url)
        await self.hold.wait()
        if self.error is not None:
            raise self.error
        what: Any = self.book
        if request.url == "/instruments":
            what = self.odd + [instrument.to_dict() for instrument in self.listed]
        elif request.url == "/tickers":
            what = self.tickers
        elif request.url.startswith("/candles"):
            start_ns, end_ns = map(int, request.url.split("/")[-2:])
            what = [to_plain(minute(at)) for at in range(-(-start_ns // MINUTE_NS) * MINUTE_NS, end_ns, MINUTE_NS)]
        if request.url.startswith("/depth") and (code := self.refused.get(request.url.split("/")[2])):
            return HttpResponse(400, {}, json.dumps(code).encode(), 1, 2)
        headers = {"x-used": "42", "retry-after": "9"}
        return HttpResponse(self.status, headers, json.dumps(what).encode(), 1, 2)

    async def close(self) -> None:
        self.closed = True


class Rig:
    def __init__(self) -> None:
        self.exchange = Exchange()
        self.clock = FakeClock()
        self.budget: list[tuple[str, Any]] = []  # what the limits role was asked
        self.refuse: Exception | None = None
        self.failures: list[BaseException] = []
        self.settings = CatalogSettings(ConnectorSettings("acme", egress="here"), refresh_s=1000.0)
        self.role: CatalogRole

    async def ask(self, address: str, kind: str, body: Any = None, timeout_s: float = 5.0) -> Any:
        assert address == "limits/acme/here"
        self.budget.append((kind, body))
        if kind == "acquire":
            if self.refuse is not None:
                raise self.refuse
            return {"lease": len(self.budget), "expires_ns": 0, "ttl_s": 10.0}
        return None

    async def start(self) -> CatalogRole:
        context = context_of("catalog/acme", self.clock, incarnation=(3, 4), ask=self.ask, fail=self.failures.append)
        self.role = CatalogRole(self.settings, context, codec=AcmeCodec(), rest=self.exchange)  # type: ignore[arg-type]
        await self.role.start()
        return self.role


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    await rig.role.stop()
    assert rig.exchange.closed
    assert rig.failures == []
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


async def test_it_lists_the_exchanges_instruments_under_a_lease(rig: Rig) -> None:
    role = await rig.start()
    got = await role.handle("instruments", None)
    assert [Instrument.from_dict(plain) for plain in got["instruments"]] == sorted(
        rig.exchange.listed, key=lambda instrument: instrument.name
    )
    assert rig.exchange.asked == ["/instruments"]
    await until(lambda: len(rig.budget) == 2)
    (acquire, wanted), (observe, seen) = rig.budget
    assert (acquire, wanted["cost"], wanted["holder"]) == ("acquire", {"weight": 20}, "catalog/acme")
    assert observe == "observe"
    assert seen == {"used": {"weight": 42}, "hit": None, "lease": 1}
    report = role.status()
    assert (report["state"], report["error"], report["instruments"], report["trading"]) == ("SERVING", None, 4, 3)


async def test_a_poll_returns_when_the_list_has_changed_and_only_then(rig: Rig) -> None:
    role = await rig.start()
    first = await role.poll("instruments", {"after": 0}, 5.0)
    assert await role.poll("instruments", {"after": first["version"]}, 0.01) is None
    waiting = asyncio.ensure_future(role.poll("instruments", {"after": first["version"]}, 5.0))
    assert (await role.handle("refresh", None))["version"] == first["version"]  # nothing new: no new version
    rig.exchange.listed[0] = dataclasses.replace(rig.exchange.listed[0], price_increment=Decimal("0.10"))
    del rig.exchange.listed[2]
    await role.handle("refresh", None)
    changed = await waiting
    assert changed["version"] > first["version"]
    assert [plain["name"] for plain in changed["instruments"]] == ["BTC-USDT", "ETH-BTC", "X-Y"]
    assert changed["instruments"][0]["price_increment"] == "0.10"


async def test_a_row_that_cannot_be_read_does_not_affect_others_and_keeps_its_last_reading(rig: Rig) -> None:
    role = await rig.start()
    first = await role.handle("refresh", None)
    del rig.exchange.listed[1]
    rig.exchange.odd = [{"symbol": "ETHBTC"}, {"symbol": "NEWUSDT"}]
    rig.exchange.listed[0] = dataclasses.replace(rig.exchange.listed[0], price_increment=Decimal("0.10"))
    changed = await role.handle("refresh", None)
    assert changed["version"] > first["version"]
    assert [plain["name"] for plain in changed["instruments"]] == ["BTC-USDT", "ETH-BTC", "OLD-BTC", "X-Y"]
    assert changed["instruments"][0]["price_increment"] == "0.10"
    status = role.status()
    assert (status["state"], status["left_out"]) == ("SERVING", 2)
    assert status["left_out_rows"].startswith("ETHBTC cannot be read: ")
    assert "; NEWUSDT cannot be read: " in status["left_out_rows"]
    rig.exchange.odd = []
    assert [plain["name"] for plain in (await role.handle("refresh", None))["instruments"]] == [
        "BTC-USDT",
        "OLD-BTC",
        "X-Y",
    ]
    assert role.status()["left_out"] == 0


async def test_while_a_row_names_no_symbol_no_known_pair_is_taken_as_gone(rig: Rig) -> None:
    role = await rig.start()
    await role.handle("refresh", None)
    del rig.exchange.listed[1]
    rig.exchange.odd = [7]
    changed = await role.handle("refresh", None)
    assert [plain["name"] for plain in changed["instruments"]] == ["BTC-USDT", "ETH-BTC", "OLD-BTC", "X-Y"]
    assert role.status()["left_out_rows"].startswith("a row without a name cannot be read: ")


@pytest.mark.parametrize("known", [True, False])
async def test_it_finds_out_which_pairs_the_exchange_no_longer_has(rig: Rig, known: bool) -> None:
    """A refusal with a code of many meanings counts only if a listed pair is answered for."""
    role = await rig.start()
    await role.handle("refresh", None)
    rig.exchange.refused = {"ETHBTC": "no_symbol" if known else "bad_request"}
    body = {"instruments": [pair("ETH-BTC").to_dict(), pair("X-Y").to_dict()]}
    answer = {"gone": ["ETH-BTC"], "present": ["X-Y"], "lists_halted": True}
    assert await role.handle("delisted", body) == answer
    rig.exchange.refused |= dict.fromkeys(("BTCUSDT", "XY"), "bad_request")
    expected = answer | {"gone": ["ETH-BTC"] if known else [], "present": []}
    assert await role.handle("delisted", body) == expected
    rig.exchange.error = RetryLater(1.0, "refused")
    assert await role.handle("delisted", body) == answer | {"gone": [], "present": []}


async def test_the_next_call_probes_other_missing_pairs(rig: Rig) -> None:
    role = await rig.start()
    await role.handle("refresh", None)
    missing = [pair(f"M{n}-BTC").to_dict() for n in range(MOST_PROBED + 5)]
    first = (await role.handle("delisted", {"instruments": missing}))["present"]
    second = (await role.handle("delisted", {"instruments": missing}))["present"]
    assert first == [f"M{n}-BTC" for n in range(MOST_PROBED)]
    assert {f"M{n}-BTC" for n in range(MOST_PROBED, MOST_PROBED + 5)} <= set(second)


async def test_it_lists_kept_pairs_until_the_exchange_lists_them_again(rig: Rig) -> None:
    role = await rig.start()
    first = await role.handle("refresh", None)
    lost = rig.exchange.listed.pop(0)
    await role.handle("refresh", None)
    await role.handle("keep", {"instruments": [lost.to_dict()]})
    kept = await role.handle("instruments", None)
    assert (kept["instruments"], kept["kept"]) == (first["instruments"], ["BTC-USDT"])
    await role.handle("keep", {"instruments": [lost.to_dict()]})
    assert (await role.handle("refresh", None))["version"] == kept["version"]
    rig.exchange.listed.append(lost)
    again = await role.handle("refresh", None)
    assert (again["instruments"], again["kept"]) == (first["instruments"], [])
    rig.exchange.listed.pop()
    await role.handle("keep", {"instruments": []})
    assert "BTC-USDT" not in [plain["name"] for plain in (await role.handle("refresh", None))["instruments"]]


async def test_it_refreshes_by_itself(rig: Rig) -> None:
    rig.settings = replace(rig.settings, refresh_s=0.01)
    role = await rig.start()
    first = await role.poll("instruments", {"after": 0}, 5.0)
    rig.exchange.listed.append(pair("NEW-USDT"))
    changed = await role.poll("instruments", {"after": first["version"]}, 5.0)
    assert "NEW-USDT" in [plain["name"] for plain in changed["instruments"]]


@pytest.mark.parametrize("what", ["status", "unreachable", "unknown", "budget", "nonsense", "empty"])
async def test_a_refresh_that_fails_keeps_the_last_good_list_and_reports_it(rig: Rig, what: str) -> None:
    role = await rig.start()
    good = await role.handle("instruments", None)
    match what:
        case "status":
            rig.exchange.status = 429
        case "unreachable":
            rig.exchange.error = RetryLater(1.0, "refused")
        case "unknown":
            rig.exchange.error = OutcomeUnknown("GET /instruments", "reset")
        case "budget":
            rig.refuse = RetryLater(30.0, "cooling down")
        case "nonsense":
            rig.exchange.error = DecodeError("a body of more than 9 bytes", None)
        case "empty":
            rig.exchange.listed = []
    with pytest.raises((RetryLater, OutcomeUnknown, DecodeError)):
        await role.handle("refresh", None)
    assert await role.handle("instruments", None) == good
    report = role.status()
    assert report["state"] == "STALE"
    assert report["failures"] == 1
    assert report["error"]
    rig.exchange.status, rig.exchange.error, rig.refuse = 200, None, None
    rig.exchange.listed = rig.exchange.listed or [pair("BTC-USDT")]
    await role.handle("refresh", None)
    assert role.status()["state"] == "SERVING"


async def test_without_a_list_it_states_the_reason(rig: Rig) -> None:
    rig.exchange.error = RetryLater(1.0, "refused")
    role = await rig.start()
    with pytest.raises(RetryLater):
        await role.handle("instruments", None)
    with pytest.raises(RetryLater):
        await role.handle("mid_price", {"pair": "BTC-USDT"})
    assert role.status()["state"] == "EMPTY"


async def test_what_comes_back_to_the_budget_when_nothing_was_sent_and_when_it_may_have_been(rig: Rig) -> None:
    role = await rig.start()
    await role.handle("instruments", None)
    await until(lambda: len(rig.budget) == 2)
    rig.exchange.error = RetryLater(1.0, "refused")
    with pytest.raises(RetryLater):
        await role.handle("refresh", None)
    await until(lambda: len(rig.budget) == 4)
    assert rig.budget[3] == ("release", {"lease": 3, "spent": None})
    rig.exchange.error = OutcomeUnknown("GET /x", "reset")
    with pytest.raises(OutcomeUnknown):
        await role.handle("refresh", None)
    await until(lambda: len(rig.budget) == 6)
    assert rig.budget[5] == ("release", {"lease": 5, "spent": {"weight": 20}})


async def test_active_markets_have_dollar_volumes_where_there_is_a_path(rig: Rig) -> None:
    role = await rig.start()
    rows = {row["name"]: row for row in await role.handle("active_markets", None)}
    assert set(rows) == {"BTC-USDT", "ETH-BTC", "X-Y"}
    assert rows["BTC-USDT"] == {
        "name": "BTC-USDT",
        "base": "BTC",
        "quote": "USDT",
        "last_price": "9",
        "volume": "5",
        "quote_volume": "500",
        "usd_volume": "500",
    }
    assert Decimal(rows["ETH-BTC"]["usd_volume"]) == Decimal("1.5") * Decimal("100.01")
    assert rows["X-Y"]["usd_volume"] is None


async def test_tickers_are_asked_once_for_all_who_want_them(rig: Rig) -> None:
    role = await rig.start()
    await role.handle("instruments", None)
    rig.exchange.hold.clear()
    asking = [asyncio.ensure_future(role.handle("active_markets", None)) for _ in range(5)]
    asking.append(asyncio.ensure_future(role.handle("ticker", {"pair": "ETH-BTC"})))
    await until(lambda: "/tickers" in rig.exchange.asked)
    rig.exchange.hold.set()
    *_, ticker = await asyncio.gather(*asking)
    assert ticker["last_price"] == "0.05"
    assert ticker["bid"] is None
    assert rig.exchange.asked.count("/tickers") == 1


async def test_mid_price_is_exact_cached_for_a_moment_and_asked_once(rig: Rig) -> None:
    role = await rig.start()
    await role.handle("instruments", None)
    rig.exchange.hold.clear()
    asking = [asyncio.ensure_future(role.handle("mid_price", {"pair": "BTC-USDT"})) for _ in range(4)]
    await until(lambda: len(rig.exchange.asked) == 2)
    rig.exchange.hold.set()
    assert await asyncio.gather(*asking) == ["100.015"] * 4
    assert await role.handle("mid_price", {"pair": "BTC-USDT"}) == "100.015"
    assert rig.exchange.asked == ["/instruments", "/depth/BTCUSDT/5"]
    rig.clock.advance(1.0)
    role.beat()
    rig.exchange.book = [[], [[10003, 2000]]]
    assert await role.handle("mid_price", {"pair": "BTC-USDT"}) is None
    assert len(rig.exchange.asked) == 3


async def test_one_failure_reaches_all_waiting_callers_and_is_not_cached(rig: Rig) -> None:
    role = await rig.start()
    await role.handle("instruments", None)
    rig.exchange.hold.clear()
    asking = [asyncio.ensure_future(role.handle("mid_price", {"pair": "BTC-USDT"})) for _ in range(3)]
    await until(lambda: len(rig.exchange.asked) == 2)
    rig.exchange.status = 503
    asking[0].cancel()  # one who goes away does not take the answer from the others
    rig.exchange.hold.set()
    failures = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(failures[0], asyncio.CancelledError)
    assert failures[1:] == [RetryLater(3.0, "HTTP 503")] * 2
    assert failures[1] is not failures[2]
    rig.exchange.status = 200
    assert await role.handle("mid_price", {"pair": "BTC-USDT"}) == "100.015"


async def test_a_snapshot_on_demand(rig: Rig) -> None:
    role = await rig.start()
    got = await role.handle("get_snapshot", {"pair": "BTC-USDT", "limit": 2})
    assert np.frombuffer(got["bids"], dtype="<i8").reshape(-1, 2).tolist() == [[10000, 1500], [9999, 1]]
    assert (got["bids_complete"], got["asks_complete"]) == (False, True)
    assert (got["address"], got["sequence"], got["price_scale"]) == ("book/acme/BTC-USDT", 7, 2)
    with pytest.raises(Rejected):
        await role.handle("get_snapshot", {"pair": "BTC-USDT", "limit": -1})


async def test_candles_are_asked_page_by_page_and_each_page_spends_of_the_budget(rig: Rig) -> None:
    role = await rig.start()
    await role.handle("instruments", None)
    now = rig.clock.time_ns()
    last = now - now % MINUTE_NS
    got = await role.handle("candles", {"pair": "ETH-BTC", "interval": "1m", "limit": 5})
    assert [from_plain(Candle, row) for row in got] == [minute(last - back * MINUTE_NS) for back in (4, 3, 2, 1, 0)]
    asked = [url for url in rig.exchange.asked if url.startswith("/candles/ETHBTC/1m/")]
    assert len(asked) == 3
    spent = [body["cost"] for kind, body in rig.budget if kind == "acquire"]
    assert spent == [{"weight": 20}, *[{"weight": 2}] * 3]


async def test_a_page_of_candles_that_fails_gives_no_candles_at_all(rig: Rig) -> None:
    role = await rig.start()
    await role.handle("instruments", None)
    rig.exchange.status = 503
    with pytest.raises(RetryLater):
        await role.handle("candles", {"pair": "ETH-BTC", "interval": "1m", "limit": 5})
    with pytest.raises(NotOffered):
        await role.handle("candles", {"pair": "ETH-BTC", "interval": "2m"})


@pytest.mark.parametrize("kind", ["mid_price", "get_snapshot", "ticker", "candles"])
async def test_a_pair_it_does_not_list(rig: Rig, kind: str) -> None:
    role = await rig.start()
    with pytest.raises(UnknownInstrument):
        await role.handle(kind, {"pair": "NO-SUCH", "limit": 5})


async def test_check_network_is_answered_by_the_exchange(rig: Rig) -> None:
    role = await rig.start()
    await role.handle("instruments", None)
    assert await role.handle("check_network", None) is None
    rig.exchange.error = RetryLater(1.0, "refused")
    with pytest.raises(RetryLater):
        await role.handle("check_network", None)


async def test_unknown_requests_are_rejected(rig: Rig) -> None:
    role = await rig.start()
    with pytest.raises(Rejected):
        await role.handle("weather", None)
    with pytest.raises(Rejected):
        await role.poll("weather", None, 0.1)

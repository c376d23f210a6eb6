"""The book role against a fake transport and a fake limits role; its segments are real and read as by a reader."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes.clock import until
from tests.fakes.context import context_of
from tests.fakes.link import FakeLink
from tests.fakes.transport import FakeFeed, FakeRest
from tests.fakes.venue import Clock, Venue
from venuemesh.actors.book.role import BookRole
from venuemesh.actors.book.settings import BookSettings
from venuemesh.connectors.settings import ConnectorSettings, OptionValue
from venuemesh.market.market import AsyncMarket
from venuemesh.model.errors import (
    BeyondDepth,
    Misconfigured,
    OutcomeUnknown,
    Rejected,
    RetryLater,
    UnknownExchange,
    UnknownInstrument,
)
from venuemesh.model.events import BookState
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.segment import SegmentReader

PAIRS = ("AAA-BBB", "CCC-DDD", "EEE-FFF")


def instrument(name: str, **changes: Any) -> Instrument:
    base, quote = name.split("-")
    fields = {"exchange": "binance", "name": name, "symbol": base + quote, "base": base, "quote": quote}
    return Instrument(**(fields | {"price_scale": 2, "size_scale": 2} | changes))


class Stage:
    """One role and its world."""

    def __init__(
        self,
        folder: Path,
        pairs=PAIRS[:1],
        exchange: str = "binance",
        levels: int = 20,
        kind: str = "book",
        **options: OptionValue,
    ) -> None:
        self.clock = Clock()
        self.asked: list[tuple[str, str, Any]] = []
        self.refusal: Exception | None = None
        self.failed: list[BaseException] = []
        self.fenced = False
        folder.chmod(0o700)
        self.context = context_of(
            f"{kind}/binance/group-1",
            incarnation=(3, 7),
            segments=folder,
            ask=self._ask,
            fail=self.failed.append,
            monotonic_ns=self.clock,
            time_ns=lambda: 10**18,
            alive=self._alive,
        )
        self.venues = {name: Venue(name.replace("-", "")) for name in pairs}
        self.rest = FakeRest()
        connector = ConnectorSettings(exchange, egress="office", options=options)
        settings = BookSettings(connector, tuple(instrument(name) for name in pairs), levels=levels)
        self.role = BookRole(settings, self.context, connect=self._connect, rest=self.rest, chance=lambda: 0.5)
        self.readers: dict[str, SegmentReader] = {}

    def _connect(self, *args: Any, **options: Any) -> FakeFeed:
        self.feed = FakeFeed(*args, **options)
        return self.feed

    async def _ask(self, address: str, kind: str, body: Any = None, timeout_s: float = 5.0) -> Any:
        self.asked.append((address, kind, body))
        if kind == "acquire" and self.refusal is not None:
            raise self.refusal
        return {"lease": len(self.asked), "expires_ns": 0, "ttl_s": 10.0}

    def _alive(self) -> None:
        if self.fenced:
            raise SystemExit

    def of(self, kind: str) -> list[Any]:
        return [body for _, asked, body in self.asked if asked == kind]

    def reader(self, name: str = PAIRS[0]) -> SegmentReader:
        if name not in self.readers:
            self.readers[name] = SegmentReader(self.context.segments / f"book~binance~{name}@3.7")
        return self.readers[name]

    def state(self, name: str = PAIRS[0]) -> BookState:
        return self.reader(name).state

    def move(self, name: str = PAIRS[0], size: int = 1_00) -> bytes:
        self.venues[name].change((0, 3_00, size))
        sent = self.venues[name].frame()
        assert sent is not None
        return sent[0]

    def open(self) -> None:
        self.feed.open(self.clock.now_ns)

    def confirm(self, request_id: int = 1) -> None:
        self.feed.frame(json.dumps({"result": None, "id": request_id}).encode())

    async def requested(self, count: int = 1) -> None:
        await until(lambda: len(self.rest.waiting) == count)

    async def next_request(self) -> None:
        """As `requested`, with the loop's timers controlled by the test."""
        for _ in range(1000):
            if self.rest.waiting:
                return
            await asyncio.sleep(0)
        raise AssertionError("nothing was requested")

    async def settled(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def live(self) -> None:
        await self.role.start()
        self.open()
        self.confirm()
        await self.requested(len(self.venues))
        for request, _ in list(self.rest.waiting):
            symbol = request.url.split("symbol=")[1].split("&")[0]
            venue = next(v for v in self.venues.values() if v.symbol == symbol)
            self.rest.answer(venue.snapshot()[0])
        await until(lambda: self.role.status()["state"] == "LIVE")


@pytest.fixture
async def stages(tmp_path):
    made: list[Stage] = []

    def make(*args: Any, **config: Any) -> Stage:
        made.append(Stage(tmp_path, *args, **config))
        return made[-1]

    yield make
    for stage in made:
        for reader in stage.readers.values():
            reader.close()
        stage.fenced = False
        await stage.role.stop()
        assert stage.rest.closed
    assert list(tmp_path.iterdir()) == []


async def test_frames_wait_for_the_snapshot_that_the_limits_role_allows(stages):
    stage = stages()
    await stage.role.start()
    assert stage.feed.started
    assert stage.state() is BookState.CONNECTING
    stage.open()
    assert stage.state() is BookState.SYNCING
    assert json.loads(stage.feed.link.sent[0])["params"] == ["aaabbb@depth@100ms", "aaabbb@trade"]
    stage.feed.frame(stage.move())
    await stage.requested()
    stage.feed.frame(stage.move(size=2_00))
    assert stage.state() is BookState.SYNCING
    assert stage.asked[0] == (
        "limits/binance/office",
        "acquire",
        {"cost": {"weight": 50}, "holder": "book/binance/group-1", "wait_s": 5.0, "priority": 0},
    )
    stage.rest.answer(stage.venues[PAIRS[0]].snapshot(back=1)[0], x_mbx_used_weight_1m="77")
    await until(lambda: stage.state() is BookState.LIVE)
    await until(lambda: stage.of("observe"))
    assert stage.of("observe") == [{"used": {"weight": 77}, "hit": None, "lease": 1}]
    assert stage.reader().state is BookState.LIVE
    report = stage.role.status()["pairs"][PAIRS[0]]
    assert (report["dropped"], report["updates"], report["sequence"]) == (1, 1, stage.venues[PAIRS[0]].sequence)


async def test_a_gap_is_not_live_from_the_frame_that_reveals_it(stages):
    stage = stages()
    await stage.live()
    stage.move()
    stage.feed.frame(stage.move())
    assert stage.reader().state is BookState.GAP
    await stage.requested()
    stage.rest.answer(stage.venues[PAIRS[0]].snapshot()[0])
    await until(lambda: stage.reader().state is BookState.LIVE)
    assert stage.role.status()["pairs"][PAIRS[0]]["gaps"] == 1


async def test_snapshots_that_fail_are_requested_with_growing_delays(stages, monkeypatch):
    stage = stages()
    loop = asyncio.get_running_loop()
    delays: list[float] = []
    soon = loop.call_soon

    def call_later(delay: float, callback: Any, *args: Any) -> Any:
        delays.append(delay)
        return soon(callback, *args)

    await stage.role.start()
    stage.open()
    monkeypatch.setattr(loop, "call_later", call_later)
    delays.clear()
    stage.confirm()
    refusals = [
        (429, {"retry_after": "9"}),
        (500, {}),
        (400, {}),
    ]
    for status, headers in refusals:
        await stage.next_request()
        stage.rest.answer(b'{"code": -1000, "msg": "no"}', status, **headers)
    await stage.next_request()
    stage.rest.refuse(OutcomeUnknown("GET /api/v3/depth", "cut"))
    await stage.next_request()
    stage.rest.refuse(RetryLater(3.5, "no connection"))
    await stage.next_request()
    assert delays[0] >= 9.0
    assert delays[1] >= 1.0
    assert delays[2] < delays[3]
    assert delays[4] >= 3.5
    monkeypatch.undo()
    stage.rest.answer(stage.venues[PAIRS[0]].snapshot()[0])
    await until(lambda: stage.state() is BookState.LIVE)
    assert stage.role.status()["pairs"][PAIRS[0]]["snapshots_failed"] == 5
    hits = [body["hit"] for body in stage.of("observe")]
    assert len(hits) == 4
    (hit,) = [hit for hit in hits if hit is not None]
    assert (hit["wait_s"], hit["limits"]) == (9.0, [])
    assert hit["cause"].startswith("HTTP 429, Retry-After: 9")
    assert stage.of("release") == [{"lease": stage.of("release")[0]["lease"], "spent": None}]


async def test_no_budget_no_request(stages):
    stage = stages()
    stage.refusal = RetryLater(40.0, "cooling down")
    await stage.role.start()
    stage.open()
    stage.confirm()
    await until(lambda: stage.role.status()["pairs"][PAIRS[0]]["snapshots_failed"] == 1)
    assert stage.rest.requests == []
    assert "cooling down" in stage.role.status()["error"]


async def test_silence_is_published_and_ends_the_connection(stages):
    stage = stages()
    await stage.live()
    stage.clock.pass_s(44)
    stage.role.beat()
    assert stage.reader().state is BookState.LIVE
    stage.clock.pass_s(2)
    stage.role.beat()
    assert stage.reader().state is BookState.SILENT
    assert len(stage.feed.reconnects) == 1
    stage.open()
    assert stage.reader().state is BookState.SYNCING


async def test_a_connection_that_ends_takes_its_snapshots_along(stages):
    stage = stages()
    await stage.role.start()
    stage.open()
    stage.confirm()
    await stage.requested()
    stage.feed.close("cut")
    assert stage.state() is BookState.CONNECTING
    await stage.requested(0)
    stage.open()
    stage.confirm(2)
    await stage.requested()
    stage.rest.answer(stage.venues[PAIRS[0]].snapshot()[0])
    await until(lambda: stage.state() is BookState.LIVE)


async def test_a_subscription_that_is_not_confirmed_is_tried_on_a_new_connection(stages):
    stage = stages()
    await stage.role.start()
    stage.open()
    stage.feed.frame(b'{"code": 2, "msg": "Invalid request", "id": 1}')
    stage.clock.pass_s(11)
    stage.role.beat()
    (reason,) = stage.feed.reconnects
    assert "Invalid request" in reason


async def test_a_server_that_says_goodbye_is_left_at_once(stages):
    stage = stages()
    await stage.live()
    stage.feed.frame(b'{"e": "serverShutdown", "E": 1770123456789}')
    await until(lambda: stage.feed.reconnects)


async def test_several_pairs_share_the_socket_and_nothing_else(stages):
    stage = stages(PAIRS)
    await stage.live()
    assert len(stage.feed.link.sent) == 1
    stage.move(PAIRS[1])
    stage.feed.frame(stage.move(PAIRS[1]))
    assert [stage.reader(name).state.name for name in PAIRS] == ["LIVE", "GAP", "LIVE"]
    assert stage.role.status()["state"] == "2 of 3 LIVE"
    stage.feed.frame(stage.move(PAIRS[0]))
    assert stage.reader(PAIRS[0]).state is BookState.LIVE
    stage.feed.frame(b'{"e":"depthUpdate","s":"EEEFFF"')
    assert [stage.reader(name).state.name for name in PAIRS] == ["LIVE", "GAP", "GAP"]
    stage.feed.frame(b"garbage of an unknown pair")
    assert {stage.reader(name).state.name for name in PAIRS} == {"GAP"}


async def test_untrack_and_track_leave_others_untouched(stages):
    stage = stages(PAIRS[:2])
    await stage.live()
    version = stage.reader(PAIRS[0]).version
    gone = stage.reader(PAIRS[1])
    await stage.role.handle("untrack", {"pair": PAIRS[1]})
    assert gone.state is BookState.RETIRED
    assert not gone.path.exists()
    await until(lambda: len(stage.feed.link.sent) == 2)
    assert json.loads(stage.feed.link.sent[1])["method"] == "UNSUBSCRIBE"
    stage.feed.frame(stage.move(PAIRS[1]))  # on its way when the pair was left
    assert stage.reader(PAIRS[0]).version == version
    with pytest.raises(UnknownInstrument):
        await stage.role.handle("snapshot", {"pair": PAIRS[1]})

    stage.venues[PAIRS[2]] = Venue("EEEFFF")
    await stage.role.handle("track", {"instrument": instrument(PAIRS[2]).to_dict()})
    assert stage.reader(PAIRS[2]).state is BookState.SYNCING
    await until(lambda: len(stage.feed.link.sent) == 3)
    stage.confirm(json.loads(stage.feed.link.sent[2])["id"])
    await stage.requested()
    stage.rest.answer(stage.venues[PAIRS[2]].snapshot()[0])
    await until(lambda: stage.reader(PAIRS[2]).state is BookState.LIVE)
    assert stage.reader(PAIRS[0]).version == version
    stage.feed.frame(stage.move(PAIRS[0]))
    assert stage.reader(PAIRS[0]).state is BookState.LIVE


async def test_a_change_of_status_is_taken_in_and_one_of_scale_refused(stages):
    stage = stages()
    await stage.live()
    await stage.role.handle("track", {"instrument": instrument(PAIRS[0], status="HALT").to_dict()})
    assert stage.reader().state is BookState.HALTED
    await stage.role.handle("track", {"instrument": instrument(PAIRS[0]).to_dict()})
    assert stage.reader().state is BookState.LIVE
    with pytest.raises(Rejected):
        await stage.role.handle("track", {"instrument": instrument(PAIRS[0], price_scale=3).to_dict()})


async def test_the_status_says_why_a_book_has_no_connection(stages):
    stage = stages()
    stage.feed.last_error = "no route to host"
    assert stage.role.status()["error"] == "the last attempt to connect failed: no route to host"  # never connected
    await stage.live()
    assert stage.role.status()["error"] is None
    stage.feed.close("1006")
    stage.feed.last_error = "1006"
    lost = stage.role.status()["error"]
    assert "1006" in lost
    assert "the last attempt" not in lost  # the same cause once
    stage.feed.last_error = "Connection refused"
    parts = stage.role.status()["error"].split("; ")
    assert sorted(parts) == sorted([lost, "the last attempt to connect failed: Connection refused"])


async def test_readers_see_the_address_of_the_book_in_an_answer_of_its_replica(stages):
    stage = stages(kind="replica")
    await stage.live()
    assert (await stage.role.handle("snapshot", {"pair": PAIRS[0]}))["address"] == f"book/binance/{PAIRS[0]}"
    assert [path.name for path in stage.context.segments.iterdir()] == [f"replica~binance~{PAIRS[0]}@3.7"]


async def test_a_process_that_stood_still_answers_no_live_book_until_it_has_read_on(stages):
    stage = stages()
    await stage.live()

    async def answered() -> tuple[BookState, str | None]:
        plain = await stage.role.handle("snapshot", {"pair": PAIRS[0]})
        return BookState(plain["state"]), plain["error"]

    stage.role.beat()
    stage.role.beat()
    stage.clock.now_ns += 200_000_000
    assert await answered() == (BookState.LIVE, None)
    stage.clock.now_ns += 1_000_000_000
    assert await answered() == (BookState.DEAD, "its process stood still for 1.2 s")
    stage.role.beat()  # it may come before the frames that waited
    assert await answered() == (BookState.DEAD, "its process stood still for 1.2 s")
    stage.clock.now_ns += 50_000_000
    stage.role.beat()
    assert await answered() == (BookState.LIVE, None)


async def test_snapshot_resync_stats_and_the_unknown(stages):
    stage = stages()
    await stage.live()
    whole = await stage.role.handle("snapshot", {"pair": PAIRS[0]})
    assert np.frombuffer(whole["bids"], dtype="<i8").reshape(-1, 2).tolist() == [[99_00, 5_00], [98_00, 7_00]]
    assert (whole["state"], whole["sequence"], whole["bids_complete"]) == (int(BookState.LIVE), 1000, True)
    best = await stage.role.handle("snapshot", {"pair": PAIRS[0], "levels": 1})
    assert np.frombuffer(best["bids"], dtype="<i8").tolist() == [99_00, 5_00]
    await stage.role.handle("resync", {"pair": PAIRS[0]})
    assert stage.reader().state is BookState.GAP
    await stage.requested()
    stage.rest.answer(stage.venues[PAIRS[0]].snapshot()[0])
    await until(lambda: stage.reader().state is BookState.LIVE)
    assert (await stage.role.handle("stats", None))["pairs"][PAIRS[0]]["resyncs"] == 1
    for unknown in (stage.role.handle("dance", None), stage.role.poll("dance", None, 0)):
        with pytest.raises(Rejected):
            await unknown


def trade(number: int) -> bytes:
    return json.dumps(
        {"e": "trade", "E": 1, "s": "AAABBB", "t": number, "p": "99.00", "q": "1", "T": 2, "m": True, "M": True}
    ).encode()


async def test_trades_that_never_came_are_reported(stages):
    stage = stages(PAIRS[:1])
    await stage.live()
    for number in (100, 101, 150):
        stage.feed.frame(trade(number))
    assert [(t.trade_id, t.missed, t.lost) for t in stage.reader().trades(0)] == [
        (100, 0, 0),
        (101, 0, 0),
        (150, 48, 48),
    ]


async def test_a_resynced_book_says_why(stages):
    stage = stages(PAIRS[:1])
    await stage.live()
    await stage.role.handle("resync", {"pair": PAIRS[0]})
    content = stage.reader().content()
    assert content.state != BookState.LIVE
    assert content.reason == stage.reader().statistics().reason != ""


async def test_the_content_for_mirrors_has_the_proven_levels(stages):
    stage = stages(levels=1)
    await stage.live()
    content = stage.reader().content()
    assert np.frombuffer(content.bids, dtype=np.int64).tolist() == [99_00, 5_00]
    assert (content.bids_complete, content.asks_complete) == (False, True)
    assert content.version == stage.reader().version


async def test_a_cell_that_lost_its_lease_touches_nothing(stages):
    stage = stages()
    await stage.live()
    version, frame = stage.reader().version, stage.move()
    stage.fenced = True
    with pytest.raises(SystemExit):
        stage.feed.frame(frame)
    with pytest.raises(SystemExit):
        stage.role.beat()
    assert stage.reader().version == version


async def test_an_unhostable_pair_is_reported_before_anything_is_opened(tmp_path):
    with pytest.raises(UnknownExchange):
        Stage(tmp_path, exchange="nowhere")
    with pytest.raises(Misconfigured):
        Stage(tmp_path, depth_speed="1ms")
    assert list(tmp_path.iterdir()) == []


async def test_requests_go_out_at_the_pace_the_exchange_allows(stages):
    """Five messages a second on a connection, of which two are reserved for pongs and pings."""
    stage = stages(PAIRS[:2])
    await stage.live()
    for name in PAIRS[:2]:
        await stage.role.handle("untrack", {"pair": name})
    assert len(stage.feed.link.sent) == 1
    await until(lambda: len(stage.feed.link.sent) == 3)


@pytest.mark.parametrize("levels", [-1, 0, 1.5, "5", True, 10**30])
async def test_an_invalid_count_is_refused(stages, levels):
    stage = stages()
    await stage.live()
    body = {"pair": PAIRS[0], "levels": levels}
    with pytest.raises(Rejected, match="levels is"):
        await stage.role.handle("snapshot", body)
    assert not stage.failed


async def test_a_part_of_a_book_does_not_claim_to_be_complete(stages):
    stage = stages()
    for size in range(1, 6):
        stage.venues[PAIRS[0]].change((0, size * 1_00, size * 1_00))
    await stage.live()
    whole = await stage.role.handle("snapshot", {"pair": PAIRS[0]})
    assert whole["bids_complete"]
    held = len(whole["bids"]) // 16
    assert held >= 3
    part = await stage.role.handle("snapshot", {"pair": PAIRS[0], "levels": held - 1})
    assert not part["bids_complete"]
    assert (await stage.role.handle("snapshot", {"pair": PAIRS[0], "levels": held}))["bids_complete"]

    class Link(FakeLink):
        def exchanges(self):
            return ["binance"]

        def submit(self, address, kind, body, timeout_s):
            return asyncio.run_coroutine_threadsafe(stage.role.handle(kind, body), asyncio.get_running_loop())

    market = AsyncMarket(Link([instrument(PAIRS[0])], directory=stage.context.segments), "binance")
    cut = await market.get_snapshot(PAIRS[0], limit=held - 1)
    assert len(cut.bids) == held - 1
    with pytest.raises(BeyondDepth):
        cut.depth(held)

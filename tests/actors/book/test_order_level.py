"""Order-level books in a session: LIVE is never wrong if messages are lost, repeated or reordered."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.order_styles import CHECKSUM, NUMBER, OrderModel, order_connector
from tests.fakes.styles import SYMBOL
from tests.fakes.venue import Clock
from venuemesh.actors.book.content import make_books
from venuemesh.actors.book.effects import AskSnapshot, AwaitBook, Resubscribe
from venuemesh.actors.book.events import Closed, Confirmed, Opened, SnapshotFailed
from venuemesh.actors.book.ingest import Ingest, Pair
from venuemesh.actors.book.machine import BookMachine
from venuemesh.model.events import BookState, Side
from venuemesh.model.instrument import Instrument

INSTRUMENT = Instrument("acme", "BNB-BTC", SYMBOL, "BNB", "BTC", 8, 8)
STYLES = (CHECKSUM, NUMBER)
SIDES = {Side.BUY: "buy", Side.SELL: "sell"}
Orders = dict[str, list[tuple[str, int, int]]]


class Reader:
    """A reader of the segment: what was published last, and whether it may be believed."""

    def __init__(self) -> None:
        self.state = BookState.CONNECTING
        self.levels: dict[Side, list[list[int]]] = {}

    def publish(self, book, state, ts_event_ns, ts_recv_ns, applied=1) -> None:
        self.levels = {side: book.levels(side).tolist() for side in Side}
        self.state = state

    def set_state(self, state, reason=None) -> None:
        self.state = state

    def trade(self, trade, missed=0) -> None: ...


class Scene:
    """The model exchange, the line, and our side of it."""

    def __init__(self, style: str) -> None:
        self.model, self.reader, self.clock = OrderModel(style, 1000), Reader(), Clock()
        codec = order_connector(style).order_level_codec()
        feed = codec.spec.book
        self.asked: AskSnapshot | AwaitBook | Resubscribe | None = None
        self.ingest = Ingest(codec, self._ask, lambda event: None, self.clock)
        self.machine = BookMachine(codec.classify, lambda: 0.5, feed=feed)
        book, self.orders = make_books(feed, INSTRUMENT)
        self.pair = Pair(INSTRUMENT, book, self.machine, self.reader, orders=self.orders)
        self.ingest.track([self.pair])
        self.line: list[tuple[bytes, Orders]] = []
        self.read: Orders | None = None  # the exchange's orders after the frame that was read last

    def _ask(self, pair, effect) -> None:
        self.asked = effect

    def now(self) -> Orders:
        return {side: self.model.rows(side) for side in ("buy", "sell")}

    def on(self, event) -> None:
        if isinstance(event, Opened | Closed):
            self.line.clear()
        self.ingest.on(self.pair, event)
        self.check()

    def change(self, op: str, at: int, size: int, fate: str) -> None:
        frame = (self.model.change(op, at, size), self.now())
        if fate == "lost":
            return
        self.line.append(frame)
        if fate == "twice":
            self.line.append(frame)
        if fate == "before" and len(self.line) > 1:
            self.line[-2:] = reversed(self.line[-2:])
        if fate != "waits":
            self.arrive()

    def arrive(self) -> None:
        for frame, orders in self.line:
            applied = self.machine.counters.applied
            self.ingest.frame(frame, 1)
            if self.machine.counters.applied > applied:
                self.read = orders
            self.check()
        self.line.clear()

    def answer(self) -> None:
        """The exchange sends the requested book."""
        asked, self.asked = self.asked, None
        if asked is None:
            return
        if isinstance(asked, AskSnapshot):
            self.arrive()
            self.read = self.now()
            self.ingest.snapshot(self.pair, asked.attempt, self.model.book(), 10, 1)
        else:
            self.line.clear()
            self.read = self.now()
            self.ingest.frame(self.model.book(), 1)
        self.check()

    def check(self) -> None:
        """What readers may believe is what the exchange had when it sent the last frame."""
        if self.reader.state is not BookState.LIVE:
            return
        assert self.read is not None
        for side, name in SIDES.items():
            ids, rows = self.orders.rows(side)
            assert [(one, *row[:2]) for one, row in zip(ids, rows.tolist(), strict=True)] == self.read[name]
            sizes: dict[int, int] = {}
            for _, price, size in self.read[name]:
                sizes[price] = sizes.get(price, 0) + size
            assert self.reader.levels[side] == [[price, size] for price, size in sizes.items()]


def live(style: str) -> Scene:
    scene = Scene(style)
    scene.on(Opened())
    scene.on(Confirmed())
    scene.answer()
    assert scene.reader.state is BookState.LIVE
    return scene


STEP = st.one_of(
    st.tuples(
        st.sampled_from(("add", "add", "size", "gone", "idle")),
        st.integers(0, 40),
        st.integers(1, 9),
        st.sampled_from(("sent",) * 6 + ("lost", "twice", "waits", "before")),
    ),
    st.just("answer"),
    st.just("close"),
)


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEP, max_size=60))
def test_a_live_book_has_the_orders_of_the_exchange_in_their_queues(style, steps):
    scene = live(style)
    for step in steps:
        if step == "answer":
            scene.answer()
        elif step == "close":
            scene.on(Closed("the exchange closed it"))
            scene.on(Opened())
            scene.on(Confirmed())
        else:
            scene.change(*step)
    scene.arrive()
    for _ in range(4):  # the book heals
        scene.clock.pass_s(60)
        scene.answer()
        scene.change("size", 0, 3, "sent")
        scene.answer()
    assert scene.reader.state is BookState.LIVE


@pytest.mark.parametrize("style", STYLES)
def test_a_lost_change_ends_live_and_a_new_book_repairs_it(style):
    scene = live(style)
    scene.change("add", 5, 7, "lost")
    scene.change("size", 0, 2, "sent")
    if style == CHECKSUM:
        assert scene.machine.counters.bad_checksums == 1
    else:
        assert scene.machine.counters.gaps == 1
    assert scene.reader.state is BookState.GAP
    assert isinstance(scene.asked, Resubscribe if style == CHECKSUM else AskSnapshot)
    scene.answer()
    assert scene.reader.state is BookState.LIVE


@pytest.mark.parametrize("style", STYLES)
def test_a_change_that_contradicts_the_orders_ends_live(style):
    """A second order with an id that rests already: the book cannot be the exchange's."""
    scene = live(style)
    row = ["add", "o1", "buy", "0.00000090", "0.00000001"]
    proof = {"seq": scene.model.sequence + 1, "crc": 0}
    frame = {"t": "changed", "s": SYMBOL, "c": [row], **proof}
    scene.ingest.frame(orjson.dumps(frame), 1)
    assert scene.reader.state is BookState.GAP
    assert "in the book already" in str(scene.machine.error)


def test_a_book_that_cannot_be_read_is_requested_again():
    scene = live(NUMBER)
    scene.change("add", 5, 7, "lost")
    scene.change("size", 0, 2, "sent")
    asked = scene.asked
    assert isinstance(asked, AskSnapshot)
    scene.ingest.snapshot(scene.pair, asked.attempt, b'{"b":[]', 10, 1)
    assert scene.machine.counters.snapshots_failed == 1
    assert scene.asked is not asked
    scene.ingest.on(scene.pair, SnapshotFailed(scene.machine.attempt, "again"))
    scene.answer()
    assert scene.reader.state is BookState.LIVE


def test_a_codec_that_reads_levels_for_an_order_level_book_ends_the_actor():
    scene = live(CHECKSUM)
    levels = b'{"t":"delta","s":"BNBBTC","b":[],"a":[],"crc":1}'
    with pytest.raises(AssertionError, match="its codec reads levels"):
        scene.ingest.frame(levels, 1)

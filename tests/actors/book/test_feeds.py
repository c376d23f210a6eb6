"""Books in the feed: LIVE is never wrong if messages are lost, doubled, reordered or sent again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.styles import ASKS, BIDS, FEEDS, SYMBOL, Model, connector
from tests.fakes.venue import Clock
from venuemesh.actors.book.effects import AskSnapshot, AwaitBook, Resubscribe
from venuemesh.actors.book.events import Closed, Confirmed, Opened, Quiet, Refused, SnapshotFailed, Suspect
from venuemesh.actors.book.ingest import Ingest, Pair
from venuemesh.actors.book.machine import BookMachine
from venuemesh.connectors.sequence import Verdict
from venuemesh.connectors.spec import Proof
from venuemesh.model.events import BookState, DepthSnapshot, Side
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.l2 import OrderBook

INSTRUMENT = Instrument("acme", "BNB-BTC", SYMBOL, "BNB", "BTC", 8, 8)
PUSHED = [style for style in FEEDS if not FEEDS[style].is_joined]
PROVEN = ["chain", "checksum", "step"]
Sides = tuple[dict[int, int], dict[int, int]]


class Reader:
    """A reader of the segment, at any moment."""

    def __init__(self) -> None:
        self.state = BookState.CONNECTING
        self.sequence = 0
        self.sides: Sides = ({}, {})
        self.states: list[BookState] = []

    def publish(self, book, state, ts_event_ns, ts_recv_ns, applied=1) -> None:
        self.sequence = book.sequence
        self.sides = tuple(dict(book.levels(side).tolist()) for side in Side)
        self.set_state(state)

    def set_state(self, state, reason=None) -> None:
        self.state = state
        self.states.append(state)

    def trade(self, trade, missed=0) -> None: ...


class Scene:
    """The model exchange, the line, and our side of it."""

    def __init__(self, style: str) -> None:
        self.model, self.reader, self.clock = Model(style, BIDS, ASKS, 1000), Reader(), Clock()
        codec = connector(style).codec()
        self.asked: AskSnapshot | AwaitBook | Resubscribe | None = None
        self.other: list[object] = []
        self.ingest = Ingest(codec, self._ask, self.other.append, self.clock)
        feed = codec.spec.book
        self.machine = BookMachine(codec.classify, lambda: 0.5, feed=feed)
        self.book = OrderBook(8, 8, window=feed.window or 0)
        self.pair = Pair(INSTRUMENT, self.book, self.machine, self.reader)
        self.ingest.track([self.pair])
        self.line: list[tuple[bytes, Sides, int | None]] = []  # with the number of a delta
        self.read: Sides | None = None  # the exchange's book after the frame read last
        self.numbers = {1000}

    def _ask(self, pair, effect) -> None:
        self.asked = effect

    def on(self, event) -> None:
        if isinstance(event, Opened | Closed | Quiet):
            self.line.clear()
            self.read = None
        self.ingest.on(self.pair, event)
        self.check()

    def sides(self) -> Sides:
        return dict(self.model.sides["b"]), dict(self.model.sides["a"])

    def change(self, bids=(), asks=(), by: int = 1) -> None:
        frame = self.model.change(bids, asks, by)
        self.numbers.add(self.model.sequence)
        self.line.append((frame, self.sides(), self.model.sequence))

    def send_book(self) -> None:
        self.line.append((self.model.book(), self.sides(), None))

    def deliver(self, at: int = 0, keep: bool = False) -> None:
        if self.line:
            at %= len(self.line)
            frame, sides, number = self.line[at] if keep else self.line.pop(at)
            is_old = number is not None and self.reader.state is BookState.LIVE and number <= self.reader.sequence
            if not (is_old and self.model.feed.proof is Proof.STEP):  # an old step changes nothing
                self.read = sides
            self.ingest.frame(frame, 7)
            self.check()

    def check(self) -> None:
        if self.reader.state is BookState.LIVE:
            assert self.reader.sides == self.read
            assert (self.book.proven_bids, self.book.proven_asks) == (self.book.n_bids, self.book.n_asks)


def opened(style: str) -> Scene:
    scene = Scene(style)
    scene.on(Opened())
    return scene


def live(style: str) -> Scene:
    scene = opened(style)
    scene.send_book()
    scene.deliver()
    assert scene.reader.state is BookState.LIVE
    return scene


UP = [("0.00244", "3")]


@pytest.mark.parametrize("style", PUSHED)
def test_the_first_book_makes_it_live_and_deltas_before_it_mean_nothing(style):
    scene = opened(style)
    assert isinstance(scene.asked, AwaitBook)
    if style != "every frame":
        scene.change(UP)
        scene.deliver()
        assert scene.reader.state is BookState.SYNCING
        assert (scene.machine.kept, scene.machine.counters.dropped) == (0, 1)
    scene.send_book()
    scene.deliver()
    assert scene.reader.state is BookState.LIVE
    assert not scene.machine.waiting
    scene.change(asks=[("0.00259", "1")])
    scene.deliver()
    assert scene.reader.state is BookState.LIVE


@pytest.mark.parametrize("style", PROVEN)
def test_a_lost_frame_requests_another_subscription_and_the_next_book_repairs_it(style):
    scene = live(style)
    scene.change(UP)
    scene.line.clear()
    scene.change(asks=[("0.00261", "1")])
    scene.deliver()
    assert scene.reader.state is BookState.GAP
    assert isinstance(scene.asked, Resubscribe)
    scene.change(UP)
    scene.deliver()
    assert scene.reader.state is BookState.GAP
    scene.send_book()
    scene.deliver()
    assert scene.reader.state is BookState.LIVE
    assert scene.machine.counters.resyncs == 1


def test_a_chain_may_stand_still_and_go_back():
    """OKX's manual: 10 -> 15 -> 15 -> 3 -> 5 stays LIVE."""
    scene = Scene("chain")
    scene.model.sequence = 10
    scene.on(Opened())
    scene.send_book()
    scene.deliver()
    for to in (15, 15, 3, 5):
        by = to - scene.model.sequence
        scene.change(UP if by else (), by=by)
        scene.deliver()
        assert (scene.reader.state, scene.reader.sequence) == (BookState.LIVE, to)
    assert scene.machine.counters.gaps == 0
    scene.change(asks=[("0.0026", "1")], by=2)
    scene.line.clear()
    scene.change(UP, by=2)
    scene.deliver()
    assert scene.reader.state is BookState.GAP
    assert "a delta from 5 expected" in (scene.machine.error or "")


def test_a_step_that_starts_over_comes_with_its_book():
    scene = live("step")
    scene.model.sequence = 1
    scene.change(UP, by=0)
    scene.line.clear()
    scene.send_book()
    scene.deliver()
    scene.change(asks=[("0.0026", "9")])
    scene.deliver()
    assert (scene.reader.state, scene.reader.sequence) == (BookState.LIVE, 2)


@pytest.mark.parametrize("of", ["delta", "book"])
def test_a_wrong_checksum_ends_live_before_any_read_of_the_book(of):
    scene = live("checksum")
    seen = scene.reader.sides
    scene.model.crc = lambda: 7
    scene.change(UP) if of == "delta" else scene.send_book()
    scene.deliver()
    assert scene.reader.state is BookState.GAP
    assert scene.reader.sides == seen
    assert isinstance(scene.asked, Resubscribe)
    assert (scene.machine.counters.bad_checksums, scene.machine.counters.checksums) == (1, 2)
    assert "checksum" in (scene.machine.error or "")


def test_unnumbered_books_are_counted():
    scene = live("connection")
    numbers = [scene.reader.sequence]
    for _ in range(3):
        scene.change(UP)
        scene.deliver()
        numbers.append(scene.reader.sequence)
    assert numbers == [1, 2, 3, 4]


def test_a_book_overdue_is_requested_with_growing_delays_which_start_over_after_calm():
    scene = opened("chain")
    delays = []
    for _ in range(8):
        scene.on(SnapshotFailed(scene.asked.attempt, "no book came"))
        assert isinstance(scene.asked, Resubscribe)
        delays.append(scene.asked.delay_s)
    assert delays == sorted(delays)
    assert delays[-1] <= 30.0
    scene.send_book()
    scene.deliver()
    scene.clock.pass_s(31)
    scene.on(Suspect("long after"))
    assert scene.asked.delay_s == 0


def test_an_old_attempt_that_fails_changes_nothing():
    scene = opened("chain")
    scene.on(SnapshotFailed(scene.machine.attempt - 1, "late"))
    assert isinstance(scene.asked, AwaitBook)


def test_a_refused_pair_states_the_reason_and_is_requested_again_and_a_live_one_continues():
    scene = opened("chain")
    scene.on(Refused("60018: no such channel"))
    assert (scene.reader.state, scene.machine.error) == (BookState.SYNCING, "60018: no such channel")
    assert isinstance(scene.asked, Resubscribe)
    assert scene.asked.delay_s > 0
    scene.send_book()
    scene.deliver()
    scene.on(Refused("of its trades"))
    assert scene.reader.state is BookState.LIVE


def test_a_refused_pair_whose_snapshot_was_under_way_requests_one_again():
    scene = opened("range")
    scene.change(UP)
    scene.deliver()
    assert isinstance(scene.asked, AskSnapshot)
    scene.on(Refused("not confirmed in time"))
    assert isinstance(scene.asked, Resubscribe)
    assert (scene.machine.waiting, scene.machine.kept) == (False, 0)
    scene.change(UP)
    scene.deliver()
    assert isinstance(scene.asked, AskSnapshot)


def test_while_a_book_is_awaited_a_doubt_requests_no_other_and_a_broken_book_does():
    scene = opened("checksum")
    awaited = scene.asked
    for _ in range(3):
        scene.ingest.frame(b"garbage", 7)
    assert (scene.asked, scene.machine.waiting) == (awaited, True)
    assert scene.reader.state is BookState.GAP
    right, scene.model.crc = scene.model.crc, lambda: 7
    scene.send_book()
    scene.deliver()
    assert isinstance(scene.asked, Resubscribe)
    scene.model.crc = right
    scene.send_book()
    scene.deliver()
    assert scene.reader.state is BookState.LIVE


def test_a_frame_with_several_pairs_is_applied_once_to_each():
    """A waiting delta is kept as an event, because processing its frame again would apply it to the other pair
    twice."""
    scene = Scene("requested")
    codec = scene.ingest.codec
    other = Pair(
        replace(INSTRUMENT, name="CCC-DDD", symbol="CCCDDD"),
        OrderBook(8, 8),
        BookMachine(codec.classify, lambda: 0.5, feed=codec.spec.book),
        Reader(),
    )
    scene.ingest.track([other])
    for pair in (scene.pair, other):
        scene.ingest.on(pair, Opened())
        scene.ingest.on(pair, Confirmed())
    single = codec.decode

    def both(frame, recv_ns):
        (event,) = single(frame, recv_ns)
        return [event, replace(event, symbol="CCCDDD")]

    def book(sequence: int, symbol: str) -> DepthSnapshot:
        (event,) = single(Model("requested", BIDS, ASKS, sequence).book(id=1), 7)
        return replace(event, symbol=symbol)

    codec.decode = both
    scene.ingest.answer(other, other.machine.attempt, book(1000, "CCCDDD"))
    for _ in range(3):
        scene.change(UP)
        scene.ingest.frame(scene.line.pop()[0], 7)
    assert (scene.machine.kept, other.machine.counters.applied) == (3, 3)
    scene.ingest.answer(scene.pair, scene.machine.attempt, book(1000, SYMBOL))
    assert scene.reader.state is BookState.LIVE
    assert other.machine.state is BookState.LIVE
    assert (scene.machine.counters.applied, other.machine.counters.applied) == (3, 3)
    assert other.machine.counters.gaps == 0
    assert scene.ingest.frames == 3


def test_lost_messages_and_states_that_the_codec_sees_reach_the_book():
    scene = live("connection")
    scene.ingest.frame(b'{"t":"state","s":"BNBBTC","state":"cancel_only"}', 7)
    assert scene.reader.state is BookState.HALTED
    scene.ingest.frame(b'{"t":"state","s":"BNBBTC","state":"open"}', 7)
    assert scene.reader.state is BookState.LIVE
    scene.ingest.frame(b'{"t":"lost","s":"BNBBTC"}', 7)
    assert scene.reader.state is BookState.GAP
    assert isinstance(scene.asked, Resubscribe)


# Anything at all

PRICES = {"bids": ["0.00244", "0.0024", "0.0023", "0.0021"], "asks": ["0.00259", "0.0026", "0.0027", "0.003"]}
CHANGES = st.tuples(
    st.sampled_from(["bids", "asks"]), st.integers(0, 3), st.sampled_from(["0", "1", "2.5"]), st.integers(0, 9)
)
ACTIONS = st.one_of(
    st.tuples(st.just("change"), CHANGES),
    st.tuples(st.sampled_from("deliver deliver deliver lose double swap book".split()), st.integers(0, 3)),  # noqa: SIM905
    st.tuples(st.sampled_from("damage close quiet confirm overdue doubt refuse hurry".split()), st.just(0)),  # noqa: SIM905
)


def play(scene: Scene, actions) -> None:
    scene.on(Opened())
    for action, what in actions:
        match action:
            case "change":
                side, price, size, kind = what
                rows, by = [(PRICES[side][price], size)], 1
                if scene.model.feed.proof.value == "chain":
                    by = -(scene.model.sequence - min(scene.numbers) + 1) if kind == 0 else 1
                    while scene.model.sequence + by in scene.numbers:
                        by += 1
                scene.change(**{side: rows}, by=by)
            case "deliver":
                scene.deliver()
            case "lose":
                del scene.line[what : what + 1]
            case "double":
                scene.deliver(keep=True)
            case "swap":
                scene.deliver(at=what)
            case "book":
                scene.send_book()
            case "damage":
                if scene.line:
                    frame, scene.read, _ = scene.line.pop(0)
                    scene.ingest.frame(frame[:-3], 7)
                    scene.check()
            case "close":
                scene.on(Closed("cut"))
                scene.on(Opened())
            case "quiet":
                scene.on(Quiet())
                scene.on(Opened())
            case "confirm":
                scene.on(Confirmed())
            case "overdue":
                if scene.machine.waiting:
                    scene.on(SnapshotFailed(scene.machine.attempt, "overdue"))
            case "doubt":
                scene.on(Suspect("asked", None))
            case "refuse":
                scene.on(Refused("no"))
            case "hurry":
                scene.clock.pass_s(40)


@pytest.mark.parametrize("style", PROVEN)
@settings(max_examples=150, deadline=None)
@given(actions=st.lists(ACTIONS, max_size=50))
def test_live_is_never_a_lie(style, actions):
    scene = Scene(style)
    play(scene, actions)
    scene.line.clear()
    scene.send_book()  # and the next book always heals
    scene.deliver()
    assert scene.reader.state is BookState.LIVE


@pytest.mark.parametrize("style", PROVEN)
def test_the_check_catches_a_broken_rule(style):
    scene = live(style)
    scene.machine._classify = lambda sequence, delta, joined: Verdict.APPLY
    scene.ingest._checksum = None
    scene.change(UP)
    scene.line.clear()
    scene.change(asks=[("0.00261", "1")])
    with pytest.raises(AssertionError):
        scene.deliver()

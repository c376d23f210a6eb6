"""A LIVE book is the exchange's book, even if frames are lost, doubled, reordered, damaged or late.

A venue with a known history feeds the real codec, scanner, machine and core; the sink gets the readers' data.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.venue import INSTRUMENT, Clock, Venue, delta
from venuemesh.actors.book.effects import AskSnapshot
from venuemesh.actors.book.events import Closed, Confirmed, Opened, Quiet, Shallow, SnapshotFailed, Suspect, Trading
from venuemesh.actors.book.ingest import Ingest, Pair
from venuemesh.actors.book.machine import BookMachine
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.connectors.market_codec import Verdict
from venuemesh.model.events import BookState, PublicTrade, Side
from venuemesh.orderbook.l2 import OrderBook

LIMIT = 1000


@dataclass
class Reader:
    """A reader of the segment, at any moment."""

    state: BookState = BookState.CONNECTING
    sequence: int = 0
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    states: list[BookState] = field(default_factory=list)
    trades: list[PublicTrade] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)  # before each of them

    def publish(self, book, state, ts_event_ns, ts_recv_ns, applied=1) -> None:
        self.sequence = book.sequence
        self.sides = tuple(dict(book.levels(side).tolist()) for side in Side)
        self.set_state(state)

    def set_state(self, state, reason=None) -> None:
        self.state = state
        if not self.states or self.states[-1] is not state:
            self.states.append(state)

    def trade(self, trade, missed=0) -> None:
        self.trades.append(trade)
        self.missed.append(missed)


class Scene:
    """The venue, the line, and our side of it."""

    def __init__(self, *, fast: bool = True, classify=None, keep_bytes: int = 8 << 20) -> None:
        self.venue, self.clock, self.reader = Venue(), Clock(), Reader()
        self.asked: AskSnapshot | None = None
        codec = CONNECTOR.codec()
        self.ingest = Ingest(codec, self._ask, lambda event: None, self.clock, fast=fast)
        machine = BookMachine(classify or codec.classify, lambda: 0.5, keep_bytes=keep_bytes)
        self.pair = Pair(INSTRUMENT, OrderBook(2, 2), machine, self.reader)
        self.ingest.track([self.pair])
        self.line: list[tuple[bytes, int]] = []
        self.read_to = 0  # last sequence in any delta read since the connection opened
        self.asks = 0

    @property
    def machine(self) -> BookMachine:
        return self.pair.machine

    @property
    def counters(self):
        return self.machine.counters

    def _ask(self, pair: Pair, effect: AskSnapshot) -> None:
        self.asked = effect
        self.asks += 1

    def on(self, event) -> None:
        if isinstance(event, (Opened, Closed, Quiet)):
            self.line.clear()
            self.venue.unsent.clear()
            self.read_to = 0
        if isinstance(event, (Closed, Quiet)):
            self.asked = None
        self.ingest.on(self.pair, event)
        self.check()

    def trade(self, *changes) -> None:
        """Change the market; the venue sends the change."""
        for change in changes:
            self.venue.change(change)
        sent = self.venue.frame()
        if sent is not None:
            self.line.append(sent)

    def deliver(self, at: int = 0, keep: bool = False) -> None:
        if self.line:
            at %= len(self.line)
            frame, last = self.line[at] if keep else self.line.pop(at)
            self.read(frame, last)

    def read(self, frame: bytes, last: int = 0) -> None:
        self.ingest.frame(frame, 7)
        self.read_to = max(self.read_to, last)
        self.check()

    def answer(self, back: int = 0) -> None:
        if self.asked is not None:
            asked, self.asked = self.asked, None
            body, _ = self.venue.snapshot(back)
            self.ingest.snapshot(self.pair, asked.attempt, body, LIMIT, 7)
            self.check()

    def check(self) -> None:
        """Check the invariant: a LIVE book is contiguous through the last frame read, and equals the exchange's
        book."""
        if self.reader.state is BookState.LIVE:
            assert self.reader.sides == self.venue.history[self.reader.sequence]
            assert self.reader.sequence >= self.read_to


UP, DOWN = (0, 1_00, 3_00), (1, 1_00, 4_00)


def live(**options) -> Scene:
    scene = Scene(**options)
    scene.on(Opened())
    scene.trade(UP)
    scene.deliver()
    scene.answer()
    assert scene.reader.state is BookState.LIVE
    return scene


@pytest.fixture(params=[True, False], ids=["scanner", "json"])
def fast(request) -> bool:
    return request.param


# The rule, step by step


def test_frames_wait_for_the_snapshot_and_what_it_holds_is_dropped(fast):
    scene = Scene(fast=fast)
    scene.on(Opened())
    for size in (1_00, 2_00, 3_00, 4_00):
        scene.trade((0, 1_00, size))
        scene.deliver()
    assert scene.machine.kept == 4
    assert scene.reader.state is BookState.SYNCING
    scene.answer(back=2)
    assert (scene.counters.dropped, scene.counters.applied, scene.asks) == (2, 2, 1)
    assert scene.reader.state is BookState.LIVE


def test_a_frame_that_straddles_the_snapshot_applies(fast):
    scene = Scene(fast=fast)
    scene.on(Opened())
    scene.trade(UP, DOWN, (0, 2_00, 9_00))
    scene.deliver()
    scene.answer(back=1)
    assert scene.counters.applied == 1
    assert scene.reader.state is BookState.LIVE


def test_a_snapshot_older_than_the_first_frame_is_requested_again(fast):
    scene = Scene(fast=fast)
    scene.venue.change(UP)
    scene.venue.change(DOWN)
    scene.on(Opened())
    scene.trade(UP)
    scene.deliver()
    scene.answer(back=2)
    assert scene.counters.snapshots_too_old == 1
    assert scene.reader.state is BookState.SYNCING
    assert scene.asked is not None
    assert scene.asked.delay_s > 0
    scene.answer()
    assert scene.reader.state is BookState.LIVE
    assert scene.counters.gaps == 0


def test_a_quiet_book_is_live_once_the_subscription_is_confirmed(fast):
    scene = Scene(fast=fast)
    scene.on(Opened())
    assert scene.asked is None  # a snapshot now would prove nothing
    scene.on(Confirmed())
    scene.answer()
    assert scene.reader.state is BookState.LIVE


def test_a_gap_is_published_before_anything_else_and_healed(fast):
    scene = live(fast=fast)
    scene.trade(UP)
    scene.line.clear()
    scene.trade(DOWN)
    scene.deliver()
    assert scene.reader.state is BookState.GAP
    assert scene.counters.gaps == 1
    assert scene.asked is not None
    scene.trade(UP)
    scene.deliver()
    scene.answer(back=1)
    assert scene.reader.state is BookState.LIVE
    assert scene.counters.resyncs == 1


def test_an_old_answer_after_a_new_connection_proves_nothing(fast):
    scene = live(fast=fast)
    scene.on(Suspect("asked", None))
    old, body = scene.asked, scene.venue.snapshot()[0]
    scene.on(Closed("cut"))
    assert scene.reader.state is BookState.CONNECTING
    scene.venue.change(UP)
    scene.on(Opened())
    scene.on(Confirmed())
    scene.ingest.snapshot(scene.pair, old.attempt, body, LIMIT, 7)
    scene.check()
    assert scene.reader.state is BookState.SYNCING
    scene.answer()
    assert scene.reader.state is BookState.LIVE


@pytest.mark.parametrize(
    "frame",
    [b"", b"garbage", b'{"e":"depthUpdate","s":"AAABBB"}', delta("AAABBB", 5, 4, {}, {}), b'{"s":"AAABBB","u":1']
)  # fmt: skip
def test_an_unreadable_frame_ends_live(fast, frame):
    scene = live(fast=fast)
    scene.read(frame)
    assert scene.reader.state is BookState.GAP
    assert scene.pair.unreadable == 1
    scene.answer()
    assert (
        scene.reader.state is not BookState.LIVE
    )  # the content of the frame is unknown: a delta must prove the snapshot
    scene.trade(UP)
    scene.deliver()
    assert scene.reader.state is BookState.LIVE


def test_a_frame_cut_off_inside_a_name_doubts_every_book_it_may_have_meant(fast):
    scene = live(fast=fast)
    others = {}
    for symbol in ("AAABBBC", "ZZZBBB"):
        machine = BookMachine(scene.ingest.codec.classify, lambda: 0.5)
        others[symbol] = Pair(replace(INSTRUMENT, symbol=symbol), OrderBook(2, 2), machine, Reader())
    scene.ingest.track(others.values())
    scene.read(b'{"e":"depthUpdate","E":1,"s":"AAABBB')
    assert scene.pair.unreadable == others["AAABBBC"].unreadable == 1
    assert others["ZZZBBB"].unreadable == 0
    for n, cut_frame in enumerate((b'{"e":"depthUpdate","E":1,"s":"A', b'{"e":"depthUpdate","E":1,"z', b'{"a'), 1):
        scene.read(cut_frame)  # no symbol is complete: the frame may be of any book
        assert scene.pair.unreadable == others["AAABBBC"].unreadable == 1 + n
        assert others["ZZZBBB"].unreadable == n


def test_levels_that_the_book_refuses_end_live(fast):
    scene = live(fast=fast)
    next_ = scene.venue.sequence + 1
    scene.ingest.frame(delta("AAABBB", next_, next_, {99_00: -1_00}, {}), 7)
    assert scene.reader.state is BookState.GAP
    scene.venue.change(UP)
    scene.answer(back=1)  # older than the delta that was refused
    assert scene.reader.state is BookState.GAP
    scene.venue.unsent.clear()
    scene.answer()
    scene.trade(DOWN)
    scene.deliver()
    assert scene.reader.state is BookState.LIVE


def test_a_crossed_book_is_doubted(fast):
    scene = live(fast=fast)
    next_ = scene.venue.sequence + 1
    scene.ingest.frame(delta("AAABBB", next_, next_, {150_00: 1_00}, {}), 7)
    assert scene.reader.state is BookState.GAP
    assert scene.counters.suspected == 1


def test_a_crossed_snapshot_is_refused_and_requested_again(fast):
    scene = Scene(fast=fast)
    scene.on(Opened())
    scene.on(Confirmed())
    scene.venue.bids[150_00] = 1_00
    scene.venue.remember()
    scene.answer()
    assert scene.reader.state is BookState.GAP
    assert scene.asked is not None


def test_an_unreadable_snapshot_is_requested_again(fast):
    scene = Scene(fast=fast)
    scene.on(Opened())
    scene.on(Confirmed())
    scene.ingest.snapshot(scene.pair, scene.asked.attempt, b"<html>", LIMIT, 7)
    assert scene.counters.snapshots_failed == 1
    scene.answer()
    assert scene.reader.state is BookState.LIVE


def test_a_halted_instrument_is_never_live(fast):
    scene = live(fast=fast)
    scene.on(Trading(False))
    assert scene.reader.state is BookState.HALTED
    scene.trade(UP)
    scene.deliver()
    assert scene.reader.state is BookState.HALTED
    scene.on(Trading(True))
    assert scene.reader.state is BookState.LIVE


def test_silence_is_shown_until_there_is_a_new_connection(fast):
    scene = live(fast=fast)
    scene.on(Quiet())
    scene.on(Closed("silent"))
    assert scene.reader.state is BookState.SILENT
    scene.on(Opened())
    assert scene.reader.state is BookState.SYNCING


def test_too_many_frames_without_a_snapshot_lose_the_oldest(fast):
    scene = Scene(fast=fast, keep_bytes=1600)
    scene.on(Opened())
    for size in range(1, 6):
        scene.trade((0, 1_00, size))
        scene.deliver()
    assert (scene.machine.kept, scene.counters.overflowed) == (3, 2)
    scene.answer(back=5)
    assert scene.reader.state is BookState.SYNCING
    scene.answer()
    assert scene.reader.state is BookState.LIVE


def test_a_gap_among_the_frames_kept_needs_another_snapshot(fast):
    scene = Scene(fast=fast)
    scene.on(Opened())
    scene.trade(UP)
    scene.deliver()
    scene.trade(DOWN)
    scene.line.clear()
    scene.trade((0, 1_00, 8_00))
    scene.deliver()
    scene.answer(back=2)
    assert scene.reader.state is not BookState.LIVE
    assert scene.counters.gaps == 1
    assert scene.machine.kept == 1
    scene.answer()
    assert scene.reader.state is BookState.LIVE


def test_a_shallow_book_is_replaced_without_leaving_live(fast):
    scene = live(fast=fast)
    scene.on(Shallow())
    assert scene.asked is not None
    for size in (1_00, 0, 6_00):
        scene.trade((1, 2_00, size))
        scene.deliver()
    applied = scene.counters.applied
    scene.answer(back=1)
    assert scene.counters.snapshots == 2
    assert scene.counters.applied == applied
    assert scene.reader.state is BookState.LIVE
    assert scene.reader.sequence == scene.venue.sequence
    assert scene.reader.states.count(BookState.LIVE) == 1
    scene.on(Shallow())
    assert scene.asked is None  # not again so soon


def test_a_late_snapshot_for_a_shallow_book_changes_nothing(fast):
    scene = live(fast=fast)
    scene.trade(UP, DOWN)
    scene.deliver()
    scene.on(Shallow())
    scene.answer(back=2)
    assert scene.counters.snapshots == 1
    assert scene.reader.state is BookState.LIVE
    assert scene.reader.sequence == scene.venue.sequence


def test_the_wait_for_snapshots_doubles_up_to_a_cap_and_starts_over_after_calm():
    scene = live()
    delays = []
    scene.on(Suspect("again", scene.venue.sequence))
    for _ in range(12):
        delays.append(scene.asked.delay_s)
        scene.on(SnapshotFailed(scene.asked.attempt, "no"))
    assert delays == sorted(delays)
    assert delays[-1] == delays[-2] <= 30.0
    scene.answer()
    scene.on(Suspect("soon after", scene.venue.sequence))
    assert scene.asked.delay_s > 10
    scene.answer()
    scene.clock.pass_s(31)
    scene.on(Suspect("long after", scene.venue.sequence))
    assert scene.asked.delay_s == 0


def test_a_refusals_own_delay_is_obeyed():
    scene = Scene()
    scene.on(Opened())
    scene.on(Confirmed())
    scene.on(SnapshotFailed(scene.asked.attempt, "banned", 120.0))
    assert scene.asked.delay_s >= 120.0


def trade_frame(number: int) -> bytes:
    message = {"e": "trade", "E": 1, "s": "AAABBB", "t": number, "p": "99.00", "q": "1", "T": 1, "m": False, "M": True}
    return json.dumps(message).encode()


def test_trades_pass_in_any_state_and_never_twice():
    scene = Scene()
    for number in (5, 6, 6, 8, 7, 5):
        scene.ingest.frame(trade_frame(number), 7)
    assert [trade.trade_id for trade in scene.reader.trades] == [5, 6, 8, 7]
    assert scene.pair.duplicate_trades == 2


def test_frames_of_other_symbols_are_ignored(fast):
    scene = live(fast=fast)
    scene.read(delta("OTHER", 1, 2, {}, {}))
    assert scene.reader.state is BookState.LIVE


def test_a_quiet_book_is_proven_by_a_later_snapshot_after_a_frame_was_unreadable(fast):
    scene = live(fast=fast)
    scene.on(Confirmed())
    scene.read(b"garbage")
    scene.answer()
    assert scene.reader.state is BookState.GAP
    assert scene.asked is not None
    assert 1.9 < scene.asked.delay_s < 10
    scene.clock.pass_s(scene.asked.delay_s)
    scene.answer()
    assert scene.reader.state is BookState.LIVE


def test_while_it_waits_for_that_a_delta_proves_it_and_the_snapshot_does_no_harm(fast):
    scene = live(fast=fast)
    scene.on(Confirmed())
    scene.read(b"garbage")
    scene.answer()
    scene.trade(UP)
    scene.deliver()
    assert scene.reader.state is BookState.LIVE
    scene.trade(DOWN)
    scene.deliver()
    applied = scene.counters.applied
    scene.answer(back=1)
    assert scene.reader.state is BookState.LIVE
    assert scene.reader.sequence == scene.venue.sequence
    assert scene.counters.applied == applied


# Anything at all

CHANGE = st.tuples(st.integers(0, 1), st.sampled_from([50, 1_00, 2_00]), st.sampled_from([0, 1_00, 5_00]))
ON_THE_LINE = ["deliver", "deliver", "deliver", "lose", "double", "swap", "answer", "answer", "stale answer"]
BESIDE_IT = "fail damage close quiet confirm halt resume shallow doubt hurry all".split()  # noqa: SIM905
ACTIONS = st.one_of(
    st.tuples(st.just("trade"), st.lists(CHANGE, min_size=1, max_size=4)),
    st.tuples(st.sampled_from(ON_THE_LINE), st.integers(0, 3)),
    st.tuples(st.sampled_from(BESIDE_IT), st.just(0)),
)


def play(scene: Scene, actions) -> None:
    scene.on(Opened())
    for action, what in actions:
        match action:
            case "trade":
                scene.trade(*what)
            case "deliver":
                scene.deliver()
            case "all":
                while scene.line:
                    scene.deliver()
            case "lose":
                del scene.line[what : what + 1]
            case "double":
                scene.deliver(keep=True)
            case "swap":
                scene.deliver(at=what)
            case "answer":
                scene.answer()
            case "stale answer":
                scene.answer(back=what)
            case "fail":
                if scene.asked is not None:
                    asked, scene.asked = scene.asked, None
                    scene.on(SnapshotFailed(asked.attempt, "no"))
            case "damage":
                if scene.line:
                    frame, _ = scene.line.pop(0)
                    scene.read(frame[:-3])
            case "close":
                scene.on(Closed("cut"))
                scene.on(Opened())
            case "quiet":
                scene.on(Quiet())
                scene.on(Opened())
            case "confirm":
                scene.on(Confirmed())
            case "halt" | "resume":
                scene.on(Trading(action == "resume"))
            case "shallow":
                scene.on(Shallow())
            case "doubt":
                scene.on(Suspect("asked", scene.machine.sequence))
            case "hurry":
                scene.clock.pass_s(40)


@settings(max_examples=300, deadline=None)
@given(st.lists(ACTIONS, max_size=60), st.booleans())
def test_live_is_never_a_lie(actions, fast):
    scene = Scene(fast=fast, keep_bytes=3400)
    play(scene, actions)
    # and it always finds its way back
    scene.on(Trading(True))
    scene.line.clear()
    scene.venue.unsent.clear()
    for _ in range(3):
        scene.trade(UP)
        scene.deliver()
        scene.answer()
    assert scene.reader.state is BookState.LIVE
    assert scene.reader.sequence == scene.venue.sequence


@settings(max_examples=100, deadline=None)
@given(st.lists(ACTIONS, max_size=60))
def test_both_paths_do_the_same(actions):
    scenes = [Scene(fast=fast) for fast in (True, False)]
    for scene in scenes:
        play(scene, actions)
    one, other = scenes
    assert one.counters == other.counters
    assert one.reader == other.reader


@pytest.mark.parametrize(
    "broken",
    [
        lambda sequence, delta, joined: Verdict.APPLY if delta.last > sequence else Verdict.STALE,  # gaps pass
        lambda sequence, delta, joined: Verdict.APPLY,  # old frames apply again
        lambda sequence, delta, joined: Verdict.STALE if joined else Verdict.APPLY,  # frozen after the first
    ],
    ids=["no gap", "no stale", "frozen"],
)
def test_the_check_catches_a_broken_rule(broken):
    """The properties above can fail: they notice a deliberately broken rule at once."""
    scene = live(classify=broken)
    with pytest.raises(AssertionError):
        disturb(scene)


def disturb(scene: Scene) -> None:
    """Send one frame twice, one out of order, and lose one."""
    scene.trade(UP)
    scene.deliver(keep=True)
    scene.trade((0, 1_00, 0))
    scene.deliver(at=1)
    scene.deliver()
    scene.trade(DOWN)
    scene.line.clear()
    scene.trade((1, 2_00, 1_00))
    scene.deliver()


def test_the_same_disturbance_is_survived_by_the_right_rule(fast):
    scene = live(fast=fast)
    disturb(scene)
    assert scene.counters.gaps == 1
    scene.answer()
    assert scene.reader.state is BookState.LIVE


def public_trade(number: int, kind: str = "trade") -> bytes:
    row = {"e": kind, "E": 1, "s": INSTRUMENT.symbol, "p": "99.00", "q": "1", "T": 2, "m": True, "M": True}
    return json.dumps(row | {"t" if kind == "trade" else "a": number}).encode()


def test_gaps_in_trade_ids_are_reported_once():
    scene = Scene()
    for number in (100, 101, 150, 151, 120, 151, 152, 155):  # 120 comes late, 151 twice
        scene.ingest.frame(public_trade(number), 7)
    assert [trade.trade_id for trade in scene.reader.trades] == [100, 101, 150, 151, 120, 152, 155]
    assert scene.reader.missed == [0, 0, 48, 0, 0, 0, 2]
    assert (scene.pair.missed_trades, scene.pair.duplicate_trades) == (50, 1)


def test_aggregated_trades_are_numbered_apart():
    scene = Scene()
    for number, kind in ((100, "trade"), (7, "aggTrade"), (101, "trade"), (100, "aggTrade"), (102, "trade")):
        scene.ingest.frame(public_trade(number, kind), 7)
    assert scene.reader.missed == [0, 0, 0, 0, 0]
    assert scene.pair.duplicate_trades == 0


def test_ids_with_gaps_mean_nothing_unless_the_exchange_promises_gapless_ids():
    scene = Scene()
    scene.ingest.codec.spec = replace(scene.ingest.codec.spec, contiguous_trade_ids=False)
    for number in (100, 150):
        scene.ingest.frame(public_trade(number), 7)
    assert scene.reader.missed == [0, 0]

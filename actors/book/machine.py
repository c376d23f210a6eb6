"""Decides when a book may be trusted. Pure: events and times in, effects out; it never reads a frame.

Theory of operation. One machine per book. First the connection opens and the feed is subscribed. From then on deltas
are kept (bounded) until a snapshot joins them by the exchange's own rule (`classify`). A snapshot older than the first
kept delta is requested again. Once the snapshot is joined and proven, the book is LIVE, and one call (`delta`, which
returns an integer) decides each delta. A missed sequence, or anything else that makes the book doubtful, ends LIVE at
once: the machine keeps deltas, requests a snapshot and joins again. The first request is immediate; later ones follow
after doubling, capped, jittered delays, which start over only after the book was LIVE for a while. So even a bad feed
causes no storm of requests.

This holds for a feed whose snapshots are requested separately (`BookFeed.is_joined`). If whole books come *in* the
feed, a book is valid at its position among the deltas: it replaces the current book in any state, and needs no further
proof. Deltas before the first book are dropped. Instead of a snapshot the machine requests a new subscription, with the
same delays, and also when the first book does not come in time.

    CONNECTING --Opened--> SYNCING --snapshot joins, or joins the next delta; or a book came in the feed-->
    LIVE (HALTED if it does not trade)        LIVE --gap, Suspect--> GAP --snapshot joins, or a book came--> LIVE
    LIVE --Stalled--> GAP --new subscription, a book, then a frame or Agreed--> LIVE
    any --Closed--> CONNECTING        any --Quiet--> SILENT (until Opened)

A stream may stop alone, while other streams of the connection continue. Silence alone proves nothing: the market may be
quiet. `stillness` finds the stopped stream, and Stalled ends LIVE, with any feed by a new subscription. After it the
book is *on trial*: a snapshot or a book in the feed is kept up to date, but it is LIVE only after the new subscription
has sent another frame, or after a comparison with the exchange's own book (Agreed).

A snapshot is *proven* when a delta that was read since the feed opened reaches back to it, or when it was requested
after the exchange confirmed the subscription. Only the second proof makes a book LIVE before its first delta. After an
unreadable frame the machine does not know which sequence a snapshot must reach. Then a later delta proves the snapshot;
if no delta comes, a snapshot requested `LAG_S` after that frame is proof.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ...connectors.sequence import Numbers, Verdict
from ...connectors.spec import BookFeed, Proof
from ...model.backoff import Backoff
from ...model.events import BookState, Delta
from ...model.time import SECOND_NS, in_ns
from .effects import AskSnapshot, AwaitBook, Effect, Load, Publish, Resubscribe, SetState
from .events import (
    Agreed,
    BookCame,
    BookEvent,
    Closed,
    Confirmed,
    Crossed,
    Drained,
    Missed,
    Opened,
    Quiet,
    Refused,
    Shallow,
    SnapshotArrived,
    SnapshotFailed,
    Stalled,
    Suspect,
    Trading,
)

# What `delta` returns: the hot path of the effects.
STALE = 0  # already included, or older than the snapshot: nothing to do
APPLY = 1  # apply its levels, then publish
KEEP = 2  # no snapshot joined yet: `keep` the delta until one does
GAP = 3  # a delta is missing; the state is GAP already: publish the state first, then call `on(Missed(...))`
STATE = 4  # nothing to apply, but the state changed: publish the state

LAG_S = 2.0  # how far a snapshot may lag behind the frames, for a book without deltas
BY_REST = BookFeed()
AGAIN = Backoff(first_s=0.25, cap_s=30.0)  # between requests for snapshots, after the first
STALLS_APART_S = 300.0  # after this time without a stall, the next new subscription is immediate again
CALM_S = 30.0  # after this time in LIVE, the next request for a snapshot is immediate again


FITS, OLD = Verdict.APPLY, Verdict.STALE  # looked up for every frame
DELTA_BYTES = 512  # memory of a waiting delta, without its levels or changes of orders


@dataclass(slots=True)
class Counters:
    """Counts of this book's frames and states since the machine was made."""

    applied: int = 0
    dropped: int = 0  # deltas older than the book: by the exchange's rule they change nothing
    gaps: int = 0
    suspected: int = 0
    stalls: int = 0  # times the stream was found to have stopped
    resyncs: int = 0  # times the book left LIVE (or HALTED) and had to synchronise again
    snapshots: int = 0  # joined, or received in the feed
    snapshots_too_old: int = 0
    snapshots_failed: int = 0
    overflowed: int = 0  # deltas dropped because too many waited for a snapshot
    checksums: int = 0  # compared
    bad_checksums: int = 0


class BookMachine:
    """State of one book. Readers must see `state`; `sequence` is the sequence of the book once joined."""

    def __init__(
        self,
        classify: Callable[[int, Numbers, bool], Verdict],
        random: Callable[[], float],
        *,
        feed: BookFeed = BY_REST,
        is_trading: bool = True,
        backoff: Backoff = AGAIN,
        keep_bytes: int = 8 << 20,
    ) -> None:
        self.state = BookState.CONNECTING
        self.sequence = 0
        self.error: str | None = None
        self.counters = Counters()
        self.snapshot_sequence: int | None = None  # of the snapshot joined last
        self.attempt = 0  # number of the last request for a snapshot; answers to earlier ones are ignored
        self.waiting = False  # a snapshot is requested and not answered yet
        self._classify = classify
        self._random = random
        self._backoff = backoff
        self._feed = feed
        self._counts = not feed.is_numbered  # the exchange has no numbers: `sequence` counts applied deltas
        self._trading = is_trading
        self._joined = False  # a snapshot is loaded and deltas are decided against `sequence`
        self._proven = False  # the join is proven: the book is the exchange's at `sequence`
        self._fed = False  # a delta was applied since the snapshot
        self._stalled = False  # the stream has stopped, and nothing has shown yet that it continues
        self._stalls = 0  # in a row
        self._stalled_ns: int | None = None  # when it was found the last time
        self.keeps = False  # LIVE, and applied deltas must be kept as well: a newer snapshot will replace the book
        self._confirmed = False  # the subscription is known to be active
        self._trust_ns = 0  # the confirmation proves only snapshots requested from this time on
        self._asked_ns = 0  # when the snapshot under way was (or will be) requested
        self._floor = 0  # a snapshot below this sequence is too old for any kept delta
        self._tries = 0  # attempts since the book was last LIVE for `CALM_S`
        self._again: tuple[int, int] | None = None
        self._joined_ns: int | None = None
        self._refreshed_ns: int | None = None
        self._kept: deque[Delta] = deque()
        self._kept_bytes = 0
        self._keep_bytes = keep_bytes

    @property
    def kept(self) -> int:
        """Return how many deltas wait for a snapshot."""
        return len(self._kept)

    @property
    def is_joined(self) -> bool:
        return self._joined

    @property
    def is_on_trial(self) -> bool:
        """Whether a book is loaded that is not LIVE only because its stream had stopped."""
        return self._stalled and self._joined and not self._proven

    @property
    def frames(self) -> int:
        """Return a number that changes with each frame of this book."""
        counters = self.counters
        return counters.applied + counters.dropped + counters.snapshots + counters.gaps

    # The hot path

    def delta(self, delta: Numbers) -> int:
        """Decide about a delta by its numbers: STALE, APPLY, KEEP, GAP or STATE."""
        if not self._joined:
            return self._early()
        verdict = self._classify(self.sequence, delta, self._fed)
        if verdict is FITS:
            self.sequence = self.sequence + 1 if self._counts else delta.last
            self.counters.applied += 1
            self._fed = True
            if not self._proven:
                self._prove()
            return APPLY
        if verdict is OLD:
            self.counters.dropped += 1
            if not self._proven and delta.first <= self.sequence + 1:
                self._prove()
                return STATE
            return STALE
        came = f"{delta.first} to {delta.last}"
        if self._feed.proof is Proof.CHAIN:
            came = f"the one from {delta.previous} to {delta.last}"
        if self._proven:
            self.counters.gaps += 1
            expected = f"a delta from {self.sequence}" if self._feed.proof is Proof.CHAIN else f"{self.sequence + 1}"
            self.error = f"gap: {expected} expected, {came} came"
        else:
            self.counters.snapshots_too_old += 1
            self.error = f"snapshot {self.sequence} is older than the first delta, {came}"
        self._leave(BookState.GAP if self._proven or self.state is BookState.GAP else BookState.SYNCING)
        self._forget()  # the deltas kept for a newer snapshot end before the gap
        return GAP

    def _early(self) -> int:
        """Decide about a delta while no book is loaded."""
        if self._feed.is_joined:
            return KEEP
        self.counters.dropped += 1
        return STALE

    def keep(self, delta: Delta) -> bool:
        """Keep a delta until a snapshot comes. Return False if older deltas had to be dropped.

        Does nothing if books come in the feed, because no snapshot will join.
        """
        if not self._feed.is_joined:
            return True
        self._kept.append(delta)
        self._kept_bytes += _bytes(delta)
        fits = True
        while self._kept_bytes > self._keep_bytes and len(self._kept) > 1:
            fits = False
            self.counters.overflowed += 1
            self._kept_bytes -= _bytes(self._kept.popleft())
        return fits

    def take(self) -> list[Delta]:
        """Return and forget the waiting deltas, oldest first; the caller applies them."""
        taken = list(self._kept)
        self._forget()
        return taken

    # Everything else

    def on(self, event: BookEvent, now_ns: int) -> list[Effect]:
        """Advance by one event and return what must be done, in order. `now_ns` is monotonic."""
        match event:
            case Opened():
                return self._opened()
            case Confirmed():
                self._confirmed = True
                if self._proven or self.waiting or not self._feed.is_joined:
                    return []
                return self._seek_proof(now_ns)
            case Closed(reason):
                return self._lost(BookState.CONNECTING, reason)
            case Quiet():
                return self._lost(BookState.SILENT, "the connection was silent for longer than its limit")
            case SnapshotArrived(attempt, sequence):
                return self._arrived(attempt, sequence, now_ns)
            case SnapshotFailed(attempt, reason, after_s):
                return self._failed(attempt, reason, after_s, now_ns)
            case BookCame(sequence):
                return self._came(sequence, now_ns)
            case Refused(reason):
                return self._refused(reason)
            case Missed():
                return [SetState(self.state, self.error), *self._ask(now_ns)]
            case Suspect(reason, last):
                return self._suspect(reason, last, now_ns)
            case Stalled(reason):
                return self._stall(reason, now_ns)
            case Agreed():
                return self._agreed()
            case Crossed(last):
                return self._suspect("best bid reached best ask", last, now_ns) if self._trading else []
            case Drained():
                return self._drained(now_ns)
            case Shallow():
                recent = self._refreshed_ns is not None and now_ns - self._refreshed_ns < CALM_S * SECOND_NS
                if not self._proven or self.keeps or self.waiting or recent or not self._feed.is_joined:
                    return []
                self.keeps, self._refreshed_ns = True, now_ns
                return self._ask(now_ns)
            case Trading(is_trading):
                self._trading = is_trading
                return self._reconsider()

    def wants_snapshot(self, now_ns: int) -> list[Effect]:
        """Request a snapshot if the book needs one and none is under way. Called for the first kept delta."""
        return self._ask(now_ns) if self._feed.is_joined and not self._joined and not self.waiting else []

    def _opened(self) -> list[Effect]:
        self._leave(BookState.SYNCING)
        self._forget()
        self._confirmed = self.waiting = False
        self._floor = self._trust_ns = 0
        if self._feed.is_joined:
            return [SetState(self.state)]
        self.attempt += 1
        self.waiting = True
        return [SetState(self.state), AwaitBook(self.attempt)]

    def _lost(self, state: BookState, reason: str) -> list[Effect]:
        self.error = reason
        if self.state is BookState.SILENT:
            state = BookState.SILENT  # until a new connection opens
        self._leave(state)
        self._forget()
        self._confirmed = self.waiting = False
        self.attempt += 1  # answers still on their way belong to the lost connection
        return [SetState(state, reason)]

    def _arrived(self, attempt: int, sequence: int, now_ns: int) -> list[Effect]:
        if attempt != self.attempt or not self.waiting:
            return []
        self.waiting = False
        if self._joined and not self.keeps:
            return []
        first = self._kept[0] if self._kept else None
        too_old = sequence < self._floor or (
            first is not None and self._classify(sequence, first, False) is Verdict.GAP
        )
        if self.keeps and not self._kept and sequence < self.sequence:
            too_old = True
        if too_old:
            self.counters.snapshots_too_old += 1
            if self._proven:
                self.keeps = False  # the book stays LIVE; the next check finds it shallow again
                self._forget()
                return []
            self.error = f"snapshot {sequence} is older than the first delta kept"
            return self._ask(now_ns)
        self._again = (self.counters.applied, self.counters.dropped) if self.keeps else None
        on_its_own = self._confirmed and self._asked_ns >= self._trust_ns and not self._stalled
        self._proven = self._proven or bool(self._kept) or on_its_own
        self._joined, self._fed, self.keeps = True, False, False
        self.sequence = self.snapshot_sequence = sequence
        self._floor = 0
        self.counters.snapshots += 1
        return [Load()]

    def _came(self, sequence: int, now_ns: int) -> list[Effect]:
        """Accept a book from the feed as it is: the next delta follows it."""
        if self.state in (BookState.CONNECTING, BookState.SILENT):
            return []  # the event belongs to an earlier connection
        self._forget()
        self.keeps = self.waiting = False
        self._floor = self._trust_ns = 0
        if self._joined_ns is None:
            self._joined_ns = now_ns
        self.sequence = self.snapshot_sequence = self.sequence + 1 if self._counts else sequence
        is_next = self._joined
        self._joined = self._fed = True
        self.counters.snapshots += 1
        if is_next or not self._stalled:
            self._prove()
        return [Publish(self.state)]

    def _refused(self, reason: str) -> list[Effect]:
        if self.state in (BookState.CONNECTING, BookState.SILENT) or self._joined:
            return []  # the feed still reaches this book: ignore the refusal
        self.error = reason
        delay_s = self._backoff.delay_s(max(1, self._tries), self._random())
        self._tries += 1
        self.attempt += 1
        self.waiting = not self._feed.is_joined  # the new subscription's first delta requests a snapshot again
        self._confirmed = False
        self._forget()
        return [SetState(self.state, reason), Resubscribe(self.attempt, delay_s)]

    def _drained(self, now_ns: int) -> list[Effect]:
        if not self._joined:
            return []  # `delta` found a gap among the kept deltas
        if self._again is not None:  # deltas kept for a newer snapshot were counted when they arrived
            self.counters.applied, self.counters.dropped = self._again
        if self._joined_ns is None:
            self._joined_ns = now_ns
        if self._proven:
            self._prove()
        elif self._confirmed and not self._stalled:
            return [Publish(self.state), *self._seek_proof(now_ns)]
        return [Publish(self.state)]

    def _seek_proof(self, now_ns: int) -> list[Effect]:
        """Request a snapshot late enough to prove a book for which no delta comes."""
        self.keeps = self._joined
        return self._ask(now_ns, (self._trust_ns - now_ns) / SECOND_NS if self._joined else 0.0)

    def _failed(self, attempt: int, reason: str, after_s: float, now_ns: int) -> list[Effect]:
        if attempt != self.attempt or not self.waiting:
            return []
        self.waiting = False
        self.counters.snapshots_failed += 1
        if self._proven:
            self.keeps = False
            self._forget()
            return []
        self.error = reason
        return self._ask(now_ns, after_s)

    def _suspect(self, reason: str, last: int | None, now_ns: int) -> list[Effect]:
        self.counters.suspected += 1
        self.error = reason
        if self.state in (BookState.CONNECTING, BookState.SILENT):
            return []
        if last is None or self._feed.proof is Proof.CHAIN:  # numbers of a chain may go back, so they set no floor
            self._trust_ns = now_ns + in_ns(LAG_S)
        else:
            self._floor = max(self._floor, last)
        is_due = self.waiting and not self._joined and not self._feed.is_joined
        self._leave(BookState.GAP)
        self._forget()
        if is_due:  # the expected book repairs this, too, and is requested again if it does not come in time
            return [SetState(self.state, self.error)]
        self.waiting = False
        return [SetState(self.state, self.error), *self._ask(now_ns)]

    def _stall(self, reason: str, now_ns: int) -> list[Effect]:
        """Leave LIVE and subscribe again. The first delta of the new subscription, or its confirmation, requests a
        snapshot, where snapshots are requested."""
        if self.state in (BookState.CONNECTING, BookState.SILENT):
            return []
        self.counters.stalls += 1
        self.error = reason
        self._leave(BookState.GAP)
        self._forget()
        if self._stalled_ns is not None and now_ns - self._stalled_ns >= STALLS_APART_S * SECOND_NS:
            self._stalls = 0
        delay_s = self._backoff.delay_s(self._stalls, self._random())
        self._stalls += 1
        self._stalled_ns, self._stalled, self._confirmed = now_ns, True, False
        self._tries = 0  # this delay spaces the requests for snapshots, too
        self.attempt += 1
        self.waiting = not self._feed.is_joined
        return [SetState(self.state, reason), Resubscribe(self.attempt, delay_s)]

    def _agreed(self) -> list[Effect]:
        if not self.is_on_trial:
            return []
        self._prove()
        return [SetState(self.state)]

    def _reconsider(self) -> list[Effect]:
        if self.state not in (BookState.LIVE, BookState.HALTED) or self.state == self._settled():
            return []
        self.state = self._settled()
        return [SetState(self.state)]

    def _settled(self) -> BookState:
        return BookState.LIVE if self._trading else BookState.HALTED

    def _prove(self) -> None:
        self._proven, self._stalled = True, False
        self.error = None
        self.state = self._settled()

    def _leave(self, state: BookState) -> None:
        if self.state in (BookState.LIVE, BookState.HALTED):
            self.counters.resyncs += 1
        self.state = state
        self._joined = self._proven = self._fed = self.keeps = False

    def _forget(self) -> None:
        self._kept.clear()
        self._kept_bytes = 0

    def _ask(self, now_ns: int, at_least_s: float = 0.0) -> list[Effect]:
        if self._joined_ns is not None:
            if now_ns - self._joined_ns >= CALM_S * SECOND_NS:
                self._tries = 0
            if not self._joined:
                self._joined_ns = None
        delay_s = max(at_least_s, self._backoff.delay_s(self._tries, self._random()))
        self._asked_ns = now_ns + in_ns(delay_s)
        self._tries += 1
        self.attempt += 1
        self.waiting = True
        if not self._feed.is_joined:
            return [Resubscribe(self.attempt, delay_s)]
        return [AskSnapshot(self.attempt, delay_s)]


def _bytes(delta: Delta) -> int:
    return DELTA_BYTES + delta.nbytes

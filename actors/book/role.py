"""The book role: keeps exact books of one or more pairs of one exchange, over one connection, in shared memory.

A new incarnation starts empty: it makes its own segments (CONNECTING), opens its own connection, and requests
its own snapshots. It uses no state of its predecessor. The segment of a pair has the address `book/<exchange>/<pair>`,
not the address of the actor that hosts it.

    snapshot {pair, levels?}    the whole book as plain data, with its state, in any state
    untrack {pair}              retire one pair; the other pairs are not affected
    track {instrument}          serve one more pair, or apply a change of its status
    resync {pair}               suspect a book: it leaves LIVE until a new snapshot joins
    orders {pair, levels?}      the orders of an order-level book, of its best `levels` a side: see `order_rows`
    stats                       the same as `status`
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from ...connectors.market_codec import SubscribesWithAccess
from ...connectors.transport import Feed, Rest
from ...model.address import REPLICA, book_address, book_of, has_kind, orders_address, replica_of
from ...model.errors import MeshError, Misconfigured, Rejected, RetryLater, UnknownInstrument
from ...model.events import BookState, Side
from ...model.instrument import Instrument
from ...model.shown import few
from ...model.spelling import similar_pairs
from ...model.time import SECOND_NS, in_ns
from ...orderbook.segment import SegmentWriter
from ..cell.role import Context, whole_number
from ..limits.budget import Budget, RestLike
from .content import make_books
from .events import Trading
from .ingest import Pair
from .machine import BookMachine
from .order_rows import orders_answer
from .settings import BookSettings
from .shell import BookSession
from .surroundings import FeedLike, Surroundings

RATE_EVERY_NS = 1_000_000_000
ACCESS_S = 15.0
ACCESS_AGAIN_S = 5.0
NO_ACCOUNT = (
    "order-level books need an account of the exchange: configure [exchanges.{exchange}.accounts.NAME], and name it in "
    '`books_account` if there are several; or set books = "levels"'
)


class Hosted:
    """A pair with its segment."""

    __slots__ = ("_rate_from", "address", "pair", "publish", "rate", "set_state", "trade", "writer")

    def __init__(self, address: str, writer: SegmentWriter) -> None:
        self.address = address
        self.writer = writer
        self.pair: Pair
        self.rate = 0.0
        self._rate_from = 0
        self.publish = writer.publish  # the sink of `Ingest`; bound directly for the hot path
        self.set_state = writer.set_state
        self.trade = writer.trade

    def measure(self, seconds: float) -> None:
        self.rate = (self.pair.updates - self._rate_from) / seconds
        self._rate_from = self.pair.updates


class BookRole:
    """See the module. `connect` and `rest` replace the transport, `chance` gives random numbers in [0, 1)."""

    reads = frozenset({"snapshot", "orders", "stats"})

    def __init__(
        self,
        settings: BookSettings,
        context: Context,
        *,
        connect: Callable[..., FeedLike] = Feed,
        rest: RestLike | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Make the role; it opens nothing before `start`. Raises UnknownExchange, NotOffered, Misconfigured."""
        self._settings, self._context = settings, context
        self._exchange = settings.connector.exchange
        by_order = settings.books == "orders"
        self._codec = settings.connector.order_level_codec() if by_order else settings.connector.market_codec()
        if isinstance(self._codec, SubscribesWithAccess) and settings.account is None:
            raise Misconfigured(context.address, NO_ACCOUNT.format(exchange=self._exchange))
        self._chance = chance
        self._rest = rest if rest is not None else Rest()
        self._hosted: dict[str, Hosted] = {}  # by name of the pair
        self._measured_ns = self._beat_ns = context.monotonic_ns()
        self._paused_ns = 0  # between the last two heartbeats
        self._session = BookSession(
            self._codec,
            Surroundings(
                connect=connect,
                rest=self._rest,
                budget=Budget(context, self._codec.spec, self._exchange, settings.connector.egress),
                monotonic_ns=context.monotonic_ns,
                time_ns=context.time_ns,
                alive=context.alive,
                fail=context.fail,
                access=self._access,
            ),
            levels=settings.levels,
        )

    async def start(self) -> None:
        self._session.track([self._host(instrument) for instrument in self._settings.instruments])
        await self._session.start()

    async def stop(self) -> None:
        await self._session.stop()
        await self._rest.close()
        for hosted in self._hosted.values():
            hosted.writer.close()

    def _host(self, instrument: Instrument) -> Pair:
        """Make the book, the machine and the segment of one pair."""
        if (len(self._hosted) + 1) * self._codec.spec.streams_per_instrument > self._codec.spec.max_streams:
            raise Misconfigured(
                self._context.address, f"too many pairs: one connection has {self._codec.spec.max_streams} streams"
            )
        address, feed = book_address(self._exchange, instrument.name), self._codec.spec.book
        if has_kind(self._context.address, REPLICA):
            address = replica_of(address)
        writer = SegmentWriter(
            self._context.segments,
            address,
            self._context.incarnation,
            instrument.price_scale,
            instrument.size_scale,
            levels=self._settings.levels,
            trades=self._settings.trade_ring,
            heartbeat_limit_ns=in_ns(self._settings.heartbeat_limit_s),
            sequenced=self._codec.spec.sequenced,
            redundant=self._settings.redundant,
            comparable=feed.is_comparable,
        )
        machine = BookMachine(self._codec.classify, self._chance, feed=feed, is_trading=instrument.is_trading)
        hosted = Hosted(address, writer)
        book, orders = make_books(feed, instrument)
        hosted.pair = Pair(instrument, book, machine, hosted, orders=orders)
        self._hosted[instrument.name] = hosted
        return hosted.pair

    async def _access(self, renew: bool) -> Mapping[str, str]:
        """Get the account's proof for subscriptions from its order manager, which alone signs. Raises RetryLater."""
        assert self._settings.account is not None
        manager = orders_address(self._exchange, self._settings.account)
        try:
            found: Mapping[str, str] = await self._context.ask(manager, "market_access", {"renew": renew}, ACCESS_S)
        except RetryLater:
            raise
        except MeshError as error:
            raise RetryLater(ACCESS_AGAIN_S, f"{manager} gave no access to order-level books: {error}") from error
        return found

    def _find(self, body: Any) -> Hosted:
        name = (body or {}).get("pair")
        if not isinstance(name, str) or name not in self._hosted:
            reason = f"not kept by {self._context.address}"
            raise UnknownInstrument(self._exchange, str(name), reason, similar_pairs(str(name), self._hosted))
        return self._hosted[name]

    # Commands

    async def handle(self, kind: str, body: Any) -> Any:
        match kind:
            case "snapshot":
                return self._snapshot(self._find(body), whole_number(body, "levels"))
            case "orders":
                return self._orders(self._find(body), whole_number(body, "levels"))
            case "untrack":
                return self._untrack(self._find(body))
            case "track":
                return self._track(Instrument.from_dict(body["instrument"]))
            case "resync":
                self._session.resync(self._find(body).pair, "a new snapshot was requested")
                return None
            case "stats":
                return self.status()
        raise self._context.unknown(kind)

    def _track(self, instrument: Instrument) -> None:
        """Serve `instrument`, or update the status of a served one. New scales need a new incarnation (Rejected)."""
        hosted = self._hosted.get(instrument.name)
        if hosted is None:
            self._session.track([self._host(instrument)])
            return
        pair = hosted.pair
        held = (pair.instrument.symbol, pair.instrument.price_scale, pair.instrument.size_scale)
        if held != (instrument.symbol, instrument.price_scale, instrument.size_scale):
            raise Rejected(
                "rescale", f"{instrument.name} changed its symbol or scales: a new incarnation must serve it"
            )
        pair.instrument = instrument
        self._session.ingest.on(pair, Trading(instrument.is_trading))

    def _untrack(self, hosted: Hosted) -> None:
        self._session.untrack(hosted.pair.instrument.symbol)
        del self._hosted[hosted.pair.instrument.name]
        hosted.writer.close()

    def _snapshot(self, hosted: Hosted, levels: int | None) -> dict[str, Any]:
        """Return the whole book, or its best `levels` a side; a side is complete if the answer has all its levels."""
        book, pair = hosted.pair.book, hosted.pair
        bids, asks = book.levels(Side.BUY, levels), book.levels(Side.SELL, levels)
        return {
            "address": book_of(hosted.address),
            "incarnation": list(self._context.incarnation),
            **self._judged(pair),
            "sequence": book.sequence,
            "price_scale": book.price_scale,
            "size_scale": book.size_scale,
            "bids": bids.tobytes(),
            "asks": asks.tobytes(),
            "proven_bids": book.proven_bids,
            "proven_asks": book.proven_asks,
            "bids_complete": book.bids_complete and book.n_bids <= len(bids),
            "asks_complete": book.asks_complete and book.n_asks <= len(asks),
            "ts_event_ns": pair.ts_event_ns,
            "ts_recv_ns": pair.ts_recv_ns,
        }

    def _orders(self, hosted: Hosted, levels: int | None) -> dict[str, Any]:
        version = hosted.writer.published
        answer = orders_answer(hosted.pair, book_of(hosted.address), self._context.incarnation, version, levels)
        return answer | self._judged(hosted.pair)

    def _judged(self, pair: Pair) -> dict[str, Any]:
        """Return the state of a book for an answer: DEAD, as for readers of memory, if this process has just stood
        still, because frames of that time may wait behind the request. The next heartbeat in time ends that."""
        paused_ns = max(self._paused_ns, self._context.monotonic_ns() - self._beat_ns)
        if pair.machine.state is BookState.LIVE and paused_ns > in_ns(self._settings.heartbeat_limit_s):
            return {"state": int(BookState.DEAD), "error": f"its process stood still for {paused_ns / SECOND_NS:.1f} s"}
        return {"state": int(pair.machine.state), "error": pair.machine.error}

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        raise self._context.unknown_poll(kind)

    # Time and status

    def beat(self) -> None:
        self._context.alive()
        self._session.beat()  # check for silence first: a silent connection must not get a heartbeat
        for hosted in self._hosted.values():
            hosted.writer.beat()
        now_ns = self._context.monotonic_ns()
        self._paused_ns, self._beat_ns = now_ns - self._beat_ns, now_ns
        if now_ns - self._measured_ns >= RATE_EVERY_NS:
            for hosted in self._hosted.values():
                hosted.measure((now_ns - self._measured_ns) / SECOND_NS)
            self._measured_ns = now_ns

    def status(self) -> dict[str, Any]:
        states = [hosted.pair.machine.state for hosted in self._hosted.values()]
        live = sum(state is BookState.LIVE for state in states)
        errors = [
            f"{h.pair.instrument.name}: {h.pair.machine.error}" for h in self._hosted.values() if h.pair.machine.error
        ]
        same = len(set(states)) == 1
        socket = self._session.status()
        if not socket["connected"] and (last := socket["last_error"]) and not any(last in error for error in errors):
            errors = [f"the last attempt to connect failed: {last}", *errors]
        return {
            "state": states[0].name if same else f"{live} of {len(states)} LIVE" if states else "EMPTY",
            "error": few(errors, 3, "; ") or None,
            "pairs": {name: self._pair_status(hosted) for name, hosted in self._hosted.items()},
            "socket": socket,
        }

    def _pair_status(self, hosted: Hosted) -> dict[str, Any]:
        pair, counters = hosted.pair, hosted.pair.machine.counters
        return {
            "state": pair.machine.state.name,
            "listed": pair.instrument.status,
            "error": pair.machine.error,
            "sequence": pair.book.sequence,
            "updates": counters.applied,
            "updates_per_s": round(hosted.rate, 1),
            "trades": pair.trades,
            "duplicate_trades": pair.duplicate_trades,
            "missed_trades": pair.missed_trades,
            "dropped": counters.dropped,
            "gaps": counters.gaps,
            "suspected": counters.suspected,
            "stalls": counters.stalls,
            "resyncs": counters.resyncs,
            "snapshots": counters.snapshots,
            "snapshots_too_old": counters.snapshots_too_old,
            "snapshots_failed": counters.snapshots_failed,
            "overflowed": counters.overflowed,
            "checksums": counters.checksums,
            "bad_checksums": counters.bad_checksums,
            "unreadable": pair.unreadable,
            "kept": pair.machine.kept,
            "n_bids": pair.book.n_bids,
            "n_asks": pair.book.n_asks,
            "n_orders": None if pair.orders is None else pair.orders.n_orders,
            "book_bytes": pair.book.memory_bytes if pair.orders is None else pair.orders.memory_bytes,
        }

"""Checks of order-level (L3) books: what is declared, the sample history, lost and damaged messages, secrets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...connectors.market_codec import (
    ChecksummedOrders,
    Codec,
    JoinedOrders,
    OrderLevelConnector,
    RequestedBooks,
    SubscribesWithAccess,
)
from ...connectors.samples import OrderLevelSamples
from ...connectors.spec import BookSource, OrderLevelOffer, Proof
from ...model.errors import DecodeError
from ...model.events import BookState, OrderDelta, OrderSnapshot, Side
from .book_replay import Story
from .mutations import flipped, truncated, twisted
from .suite import RECV_NS, Suite, excerpt, expect, reads_or_refuses, skip

SECRET = "conformance-secret-" * 3
FIELDS = ("token", "signature", "key", "passphrase", "timestamp")  # names that an account's proof may have


class OrderLevel(Suite):
    """Checks of `spec.order_level`."""

    def _offer(self) -> tuple[OrderLevelOffer, OrderLevelSamples]:
        offer, samples = self.connector.spec.order_level, self.samples.order_level
        if offer is None:
            skip("the exchange offers no order-level books")
        expect(samples is not None, "spec.order_level is set, but samples.order_level is missing")
        assert samples is not None
        return offer, samples

    def _orders_codec(self) -> Codec:
        made = self.connector
        expect(isinstance(made, OrderLevelConnector), "spec.order_level needs the connector's order_level_codec")
        assert isinstance(made, OrderLevelConnector)
        codec = made.order_level_codec()
        codec.bind(self.listed())
        return codec

    def _order_story(self) -> Story:
        _, samples = self._offer()
        return Story(self._orders_codec(), self.instrument(), samples, fast=True)

    def _orders_of(self, story: Story) -> dict[Side, list[tuple[str, int, int]]]:
        """Return the orders of each side: id, price and size, best first, each level in its queue."""
        orders = story.pair.orders
        assert orders is not None
        found = {}
        for side in Side:
            ids, rows = orders.rows(side)
            found[side] = [(name, *row[:2]) for name, row in zip(ids, rows.tolist(), strict=True)]
        return found

    def test_the_declared_order_level_feed_is_complete(self) -> None:
        """The order-level feed is declared as such, and its codec has the methods that the feed needs."""
        offer, _ = self._offer()
        codec = self._orders_codec()
        feed = codec.spec.book
        expect(offer.book.by_order and feed.by_order, "spec.order_level.book and the codec's book need by_order=True")
        expect(not self.codec().spec.book.by_order, "spec.book is by_order; it must be the feed of price levels")
        expect(codec.scanner() is None, "an order-level codec has no scanner")
        expect(
            feed.is_numbered or not feed.is_joined,
            f"books and deltas come separately ({feed.source.value}), but the proof {feed.proof.value} does not show "
            "which delta follows a book",
        )
        expect(
            feed.proof is not Proof.RANGE,
            "an order-level delta that overlaps the book cannot be applied: the proof cannot be a range",
        )
        for needed, protocol, name in (
            (feed.source is BookSource.REST, JoinedOrders, "orders_request and orders_snapshot"),
            (feed.source is BookSource.REQUESTED, RequestedBooks, "book_request"),
            (feed.proof is Proof.CHECKSUM, ChecksummedOrders, "order_checksum"),
            (offer.needs_account, SubscribesWithAccess, "use_access"),
        ):
            expect(isinstance(codec, protocol) or not needed, f"this order-level feed needs codec.{name}")
        expect(
            offer.needs_account or not isinstance(codec, SubscribesWithAccess),
            "the codec has use_access, but spec.order_level.needs_account is False",
        )

    def test_the_sample_gives_the_expected_orders(self) -> None:
        """The history gives the expected orders in their queues, and levels that are their sums."""
        _, samples = self._offer()
        story, instrument = self._order_story(), self.instrument()
        story.play()
        self._expect_live(story, "after all frames")
        expect(
            story.pair.book.sequence == samples.sequence or not story.feed.is_numbered,
            f"the book's sequence is {story.pair.book.sequence}, expected {samples.sequence}",
        )
        found = self._orders_of(story)
        for side, rows in ((Side.BUY, samples.bids), (Side.SELL, samples.asks)):
            wanted = [(name, instrument.price_raw(price), instrument.size_raw(size)) for name, price, size in rows]
            expect(found[side] == wanted, f"the {side.value} orders are {found[side]}, expected {wanted}")
            sums: dict[int, int] = {}
            for _, price, size in wanted:
                sums[price] = sums.get(price, 0) + size
            levels = story.pair.book.levels(side).tolist()
            expect(levels == [[*row] for row in sums.items()], f"the {side.value} levels {levels} are not the sums")
            expect(len(sums) < len(wanted) or side is Side.SELL, "samples.order_level needs a bid level of two orders")

    def test_a_lost_order_message_is_noticed(self) -> None:
        """After the loss of a message that changes the book, the book is not LIVE and requests a new one."""
        offer, samples = self._offer()
        if offer.book.proof is Proof.CONNECTION:
            skip("the connection is the only proof")
        whole = self._order_story()
        whole.play()
        noticed = 0
        for missing in range(len(samples.deltas) - 1):
            story = self._order_story()
            story.confirm()
            story.snapshot()
            story.frames(frame for number, frame in enumerate(samples.deltas) if number != missing)
            if story.state is BookState.LIVE:
                same = self._orders_of(story) == self._orders_of(whole)
                expect(same, f"{excerpt(samples.deltas[missing])} was lost, and the book stayed LIVE")
            else:
                noticed += 1
                expect(story.asks_for_snapshot, "after a lost message the book did not request a new one")
        expect(noticed > 0, "no sample delta changes the book: the samples cannot show a loss")
        if samples.gap is not None:
            whole.frames([samples.gap])
            expect(whole.state is BookState.GAP, f"after samples.gap the book is {whole.state.name}, expected GAP")

    def test_a_repeated_order_message_is_noticed_or_harmless(self) -> None:
        """After a repeated message the book is not LIVE, or it is unchanged."""
        _, samples = self._offer()
        for number, frame in enumerate(samples.deltas):
            story = self._order_story()
            story.confirm()
            story.snapshot()
            story.frames(samples.deltas[: number + 1])
            before = self._orders_of(story)
            story.frames([frame])
            same = story.state is not BookState.LIVE or self._orders_of(story) == before
            expect(same, f"the repetition of {excerpt(frame)} changed the book, which stayed LIVE")

    def test_the_checksum_covers_orders_and_queues(self) -> None:
        """Another size of an order, and another order of a queue, change the checksum; a wrong one ends LIVE."""
        offer, samples = self._offer()
        if offer.book.proof is not Proof.CHECKSUM:
            skip("the proof is not a checksum")
        codec: Any = self._orders_codec()
        story, instrument = self._order_story(), self.instrument()
        story.play()
        orders = story.pair.orders
        assert orders is not None
        right = codec.order_checksum(instrument, orders)
        queue = next(
            (found for side in Side for price in _prices(orders, side) if len(found := orders.queue(side, price)) > 1),
            None,
        )
        expect(queue is not None, "samples.order_level ends without a level of several orders")
        assert queue is not None
        first = queue[0]
        orders.change(first.id, first.size + 1)
        orders.commit(1)
        expect(codec.order_checksum(instrument, orders) != right, "another size of an order has the same checksum")
        orders.replace(first.id, first.price, first.size)
        orders.commit(1)
        swapped = codec.order_checksum(instrument, orders)
        same_sizes = len({one.size for one in queue}) == 1
        expect(swapped != right or same_sizes, "another order of a queue has the same checksum")
        broken = self._order_story()
        broken.snapshot()
        (event,) = codec.decode(samples.deltas[0], RECV_NS)
        wrong = replace(event, checksum=(event.checksum or 0) ^ 1)
        broken.ingest.codec = _Says(broken.ingest.codec, [wrong])  # type: ignore[assignment]
        broken.frames([samples.deltas[0]])
        expect(broken.state is not BookState.LIVE, "the book stayed LIVE after a wrong checksum")

    def test_damaged_order_messages_are_refused(self) -> None:
        """A message that is cut, changed or twisted is read as some event or raises DecodeError, nothing else."""
        _, samples = self._offer()
        codec = self._orders_codec()
        for number, frame in enumerate(samples.deltas):
            for damaged in (*truncated(frame, 100), *flipped(frame, seed=number, count=100), *twisted(frame)):
                reads_or_refuses("decode", lambda damaged=damaged: codec.decode(damaged, RECV_NS), damaged)
        if isinstance(codec, JoinedOrders):
            instrument, body = self.instrument(), samples.snapshot
            for damaged in (*truncated(body, 100), *flipped(body, seed=1, count=100), *twisted(body)):
                reads_or_refuses(
                    "orders_snapshot",
                    lambda damaged=damaged: codec.orders_snapshot(instrument, damaged, RECV_NS),
                    damaged,
                )
        for frame in samples.damaged:
            try:
                found = codec.decode(frame, RECV_NS)
            except DecodeError:
                continue
            raise AssertionError(f"decode reads {excerpt(frame)} as {found!r}, expected DecodeError")

    def test_order_messages_are_those_of_their_pair_alone(self) -> None:
        """Messages of pairs that are not bound are ignored, and `symbol_of` names them."""
        offer, samples = self._offer()
        codec, symbol = self._orders_codec(), self.instrument().symbol
        frames = samples.deltas if offer.book.is_joined else (samples.snapshot, *samples.deltas)
        for frame in frames:
            expect(codec.symbol_of(frame) == symbol, f"symbol_of does not name {symbol} for {excerpt(frame)}")
            events = codec.decode(frame, RECV_NS)
            ours = [event for event in events if isinstance(event, OrderDelta | OrderSnapshot)]
            expect([one.symbol for one in ours] == [symbol], f"decode reads {ours!r} from {excerpt(frame)}")
        codec.bind([])
        for frame in frames:
            events = codec.decode(frame, RECV_NS)
            expect(
                not any(isinstance(event, OrderDelta | OrderSnapshot) for event in events),
                f"decode reads orders of a pair that is not bound: {excerpt(frame)}",
            )

    def test_no_recording_has_the_account_s_proof(self) -> None:
        """Messages with the account's proof have a form without it, for recordings."""
        offer, _ = self._offer()
        if not offer.needs_account:
            skip("order-level books need no account")
        codec: Any = self._orders_codec()
        codec.use_access(dict.fromkeys(FIELDS, SECRET))
        sent = [*codec.subscribe([self.instrument()], 1), *codec.unsubscribe([self.instrument()], 2)]
        expect(any(SECRET.encode() in one.frame for one in sent), "no subscription has the account's proof")
        for one in sent:
            shown = one.frame if one.masked is None else one.masked
            expect(SECRET.encode() not in shown, "a message with the account's proof has no masked form")

    def _expect_live(self, story: Story, when: str) -> None:
        why = story.pair.machine.error
        expect(story.state is BookState.LIVE, f"{when} the order-level book is {story.state.name}, not LIVE: {why}")


def _prices(orders: Any, side: Side) -> list[int]:
    prices: list[int] = orders.book.levels(side)[:, 0].tolist()
    return prices


class _Says:
    """A codec whose `decode` returns given events."""

    def __init__(self, codec: Codec, events: list[Any]) -> None:
        self._codec, self._events = codec, events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def decode(self, frame: bytes, recv_ns: int) -> list[Any]:
        return self._events

"""The book role with an order-level book: its segment is read as any other, and the account proves itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.fakes.clock import until
from tests.fakes.connectors import lent
from tests.fakes.context import context_of
from tests.fakes.order_styles import CHECKSUM, OrderLevelStyle, OrderModel, order_connector
from tests.fakes.styles import SYMBOL
from tests.fakes.transport import FakeFeed, FakeRest
from tests.fakes.venue import Clock
from venuemesh.actors.book.role import BookRole
from venuemesh.actors.book.settings import BookSettings
from venuemesh.connectors.market_codec import Outgoing
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.model.errors import Misconfigured, NotOffered, Rejected, RetryLater
from venuemesh.model.events import BookState, Side
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.segment import SegmentReader

INSTRUMENT = Instrument("acme", "BNB-BTC", SYMBOL, "BNB", "BTC", 8, 8)


class GuardedStyle(OrderLevelStyle):
    """Its subscriptions carry an account's proof."""

    def order_level_codec(self, *urls: Any, **options: Any) -> Any:
        made = super().order_level_codec(*urls, **options)
        kind = type("Guarded", (Guard, type(made)), {})
        return kind(made.spec, *urls[:2])


class Guard:
    proof = "none"

    def use_access(self, access: Any) -> None:
        self.proof = access["token"]

    def _stream_requests(self, method: str, instruments: Any, request_id: int) -> list[Outgoing]:
        (message,) = super()._stream_requests(method, instruments, request_id)  # type: ignore[misc]
        secret = json.dumps({**json.loads(message.frame), "token": self.proof}).encode()
        return [replace(message, frame=secret, masked=message.frame)]


class Stage:
    """One role and its world."""

    def __init__(self, folder, settings: BookSettings) -> None:
        self.clock, self.rest, self.model = Clock(), FakeRest(), OrderModel(CHECKSUM)
        self.asked: list[tuple[str, str]] = []
        self.access: Any = {"token": "secret-1"}
        self.renewed: list[bool] = []
        folder.chmod(0o700)
        self.context = context_of(
            "book/acme/group-1",
            incarnation=(3, 7),
            segments=folder,
            ask=self._ask,
            monotonic_ns=self.clock,
            time_ns=lambda: 10**18,
        )
        self.role = BookRole(settings, self.context, connect=self._connect, rest=self.rest, chance=lambda: 0.5)

    def _connect(self, *args: Any, **options: Any) -> FakeFeed:
        self.feed = FakeFeed(*args, **options)
        return self.feed

    async def _ask(self, address: str, kind: str, body: Any = None, timeout_s: float = 5.0) -> Any:
        self.asked.append((address, kind))
        if kind == "market_access":
            self.renewed.append(body["renew"])
            if isinstance(self.access, Exception):
                raise self.access
            return self.access
        return {"lease": len(self.asked), "expires_ns": 0, "ttl_s": 10.0}

    async def connect(self) -> None:
        """What the feed does before each connection."""
        await self.feed.options["admit"]()
        self.feed.open(self.clock.now_ns)

    def sent(self) -> list[str]:
        """Return the proofs of the subscriptions on this connection."""
        messages = [json.loads(frame) for frame in self.feed.link.sent]
        return [message.get("token") for message in messages if message.get("op") == "subscribe"]


@pytest.fixture
def settings() -> Iterator[BookSettings]:
    made = order_connector(CHECKSUM)
    found = GuardedStyle(made.style, made.spec, made.codec_class)
    with lent(found):
        yield BookSettings(ConnectorSettings("acme"), (INSTRUMENT,), levels=2, books="orders", account="main")


def test_a_book_without_an_account_says_what_to_configure(tmp_path, settings):
    with pytest.raises(Misconfigured, match=r"\[exchanges\.acme\.accounts\.NAME\]"):
        Stage(tmp_path, replace(settings, account=None))


def test_an_exchange_without_order_level_books_is_named(tmp_path, settings):
    made = replace(order_connector(CHECKSUM), name="bare")
    named = replace(settings, connector=ConnectorSettings("bare"))
    bare = lent(replace(made, spec=replace(made.spec, order_level=None)))
    with bare, pytest.raises(NotOffered, match="bare does not offer order-level books"):
        Stage(tmp_path, named)


async def test_the_levels_are_in_the_segment_and_the_orders_at_the_actor(tmp_path, settings):
    stage = Stage(tmp_path, settings)
    await stage.role.start()
    try:
        await stage.connect()
        stage.feed.frame(stage.model.book())
        stage.feed.frame(stage.model.change("add", 4, 2))  # a second order at the best but one bid
        reader = SegmentReader(tmp_path / "book~acme~BNB-BTC@3.7")
        assert reader.state is BookState.LIVE
        assert stage.role._hosted["BNB-BTC"].pair.book.levels(Side.BUY).tolist() == [[99, 5], [98, 7], [97, 5]]
        assert stage.role.status()["pairs"]["BNB-BTC"]["n_orders"] == 7
        found = await stage.role.handle("orders", {"pair": "BNB-BTC", "levels": 2})
        assert found["state"] == BookState.LIVE
        assert found["sequence"] == 2
        assert found["bid_ids"].split("\n") == ["o3", "o2", "o7"]
        assert np.frombuffer(found["bids"], "<i8").reshape(-1, 3).tolist() == [[99, 5, 0], [98, 5, 0], [98, 2, 0]]
        assert not found["bids_complete"]
    finally:
        await stage.role.stop()


async def test_each_connection_and_each_new_subscription_gets_a_new_proof(tmp_path, settings):
    stage = Stage(tmp_path, settings)
    await stage.role.start()
    try:
        await stage.connect()
        assert stage.sent() == ["secret-1"]
        assert ("orders/acme/main", "market_access") in stage.asked
        stage.feed.frame(stage.model.book())
        stage.model.change("add", 4, 2)  # lost
        stage.access = {"token": "secret-2"}
        stage.feed.frame(stage.model.change("add", 5, 2))
        assert stage.role.status()["state"] == "GAP"
        await until(lambda: stage.sent() == ["secret-1", "secret-2"])
        stage.feed.frame(stage.model.book())
        assert stage.role.status()["state"] == "LIVE"
        stage.feed.close("the exchange closed it")
        stage.access = {"token": "secret-3"}
        await stage.connect()
        assert stage.sent() == ["secret-3"]
    finally:
        await stage.role.stop()


async def test_a_refused_proof_is_a_reason_to_wait_and_is_shown(tmp_path, settings):
    stage = Stage(tmp_path, settings)
    await stage.role.start()
    try:
        stage.access = Rejected("EAPI:Invalid key", "the key is gone")
        with pytest.raises(
            RetryLater, match=r"orders/acme/main gave no access to order-level books: .*the key is gone"
        ):
            await stage.feed.options["admit"]()
        stage.access = {"token": "secret-1"}
        await stage.connect()
        stage.feed.frame(b'{"t":"no","key":"book:BNBBTC","code":"auth","why":"token expired"}')
        stage.access = {"token": "secret-2"}
        assert "token expired" in stage.role.status()["error"]
        await until(lambda: stage.sent() == ["secret-1", "secret-2"])
        assert stage.renewed == [False, False, True]  # of a failed attempt, a connection, and after a refusal
    finally:
        await stage.role.stop()


async def test_a_book_of_levels_has_no_orders_to_show(tmp_path, settings):
    stage = Stage(tmp_path, replace(settings, books="levels", account=None))
    await stage.role.start()
    with pytest.raises(NotOffered, match='books = "orders"'):
        await stage.role.handle("orders", {"pair": "BNB-BTC"})
    await stage.role.stop()
    await asyncio.sleep(0)

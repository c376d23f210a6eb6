"""ccxt's streams as one connection: whole books, refusals, ends; against the local exchange."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest

pytest.importorskip("ccxt", reason="ccxt is not installed: pip install 'venuemesh[ccxt]'")

from tests.fakes.clock import until
from venuemesh.connectors.ccxt.link import CcxtLink, dial
from venuemesh.connectors.registry import connector
from venuemesh.connectors.transport import SYSTEM_CLOCK
from venuemesh.testing import LocalExchange, local_exchange


class Heard:
    """Keeps what a link passes on."""

    def __init__(self) -> None:
        self.link: Any = None
        self.frames: list[dict[str, Any]] = []
        self.closes: list[str] = []

    def on_open(self, link: Any) -> None:
        self.link = link

    def on_frame(self, frame: memoryview | bytes, recv_ns: int) -> None:
        self.frames.append(orjson.loads(frame))

    def on_close(self, reason: str) -> None:
        self.closes.append(reason)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.frames if one["kind"] == kind]


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:
    with local_exchange(["BTC-USDT"], protocol="binance", rate=200.0) as running:
        yield running


@pytest.fixture
async def heard(exchange: LocalExchange) -> AsyncIterator[Heard]:
    codec = connector("ccxt:binance").codec(rest=exchange.urls["rest"], ws=exchange.urls["ws"])
    heard = Heard()
    link = await dial(codec.ws_url(), heard, SYSTEM_CLOCK, timeout_s=10.0, max_message=1_000_000)
    yield heard
    link.leave("the test ends", 1000)
    await asyncio.wait_for(link.gone, 20.0)


async def test_a_subscription_is_done_with_its_first_book_and_more_follow(heard: Heard) -> None:
    heard.link.send(orjson.dumps({"op": "watch", "symbol": "BTC/USDT", "id": 3, "depth": 5}))
    await until(lambda: len(heard.of("book")) > 3)
    assert [one["id"] for one in heard.of("done")] == [3]
    for book in heard.of("book"):
        assert len(book["bids"]) == len(book["asks"]) == 5
        assert book["bids"][0][0] < book["asks"][0][0]


async def test_a_pair_that_the_exchange_does_not_have_is_refused_alone(heard: Heard) -> None:
    heard.link.send(orjson.dumps({"op": "watch", "symbol": "NO/PAIR", "id": 4, "depth": 5}))
    heard.link.send(orjson.dumps({"op": "watch", "symbol": "BTC/USDT", "id": 5, "depth": 5}))
    await until(lambda: heard.of("refused") != [] and heard.of("book") != [])
    (refused,) = heard.of("refused")
    assert (refused["id"], refused["code"]) == (4, "BadSymbol")
    assert heard.closes == []


async def test_a_message_that_ccxt_cannot_read_ends_the_connection(heard: Heard) -> None:
    """ccxt's own loop would end silently, and the book would look as if nothing happened."""
    assert isinstance(heard.link, CcxtLink)
    heard.link.send(orjson.dumps({"op": "watch", "symbol": "BTC/USDT", "id": 6, "depth": 5}))
    await until(lambda: heard.of("book") != [])

    def broken(*given: Any) -> None:
        raise TypeError("an odd message")

    for client in heard.link._session.exchange.clients.values():
        client.on_message_callback = broken
    await until(lambda: heard.closes != [])
    assert "cannot read a message: TypeError: an odd message" in heard.closes[0]
    count = len(heard.frames)
    await asyncio.wait_for(asyncio.shield(heard.link.gone), 20.0)
    assert len(heard.frames) == count


async def test_a_pair_that_is_watched_no_more_is_silent(heard: Heard) -> None:
    heard.link.send(orjson.dumps({"op": "watch", "symbol": "BTC/USDT", "id": 7, "depth": 5}))
    await until(lambda: heard.of("book") != [])
    heard.link.send(orjson.dumps({"op": "unwatch", "symbol": "BTC/USDT", "id": 8}))
    await until(lambda: [one["id"] for one in heard.of("done")] == [7, 8])
    assert heard.frames[-1]["kind"] == "done"

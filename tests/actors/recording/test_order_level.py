"""A recording of order-level books replays to the recorder's own orders, and has nothing that proves the account."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from venuemesh import ReplayMarket
from venuemesh.actors.recording.file import read
from venuemesh.actors.recording.instruments import listed_instruments
from venuemesh.actors.recording.record import record
from venuemesh.actors.recording.replay import Replay, replay
from venuemesh.cli.keys import KeyOptions, choose_key
from venuemesh.cli.market_access import MarketAccess
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.connectors.transport import Feed
from venuemesh.model.errors import Misconfigured, NotOffered
from venuemesh.model.events import BookState, Side
from venuemesh.testing import LocalExchange, local_exchange

PAIR, TRADED = "BTC-USDT", "BTCUSDT"
CHANGES = 30  # of a recorded book, at least


@pytest.fixture(scope="module", params=["kraken", "coinbase"])
def exchange(request: Any) -> Iterator[LocalExchange]:
    with local_exchange([PAIR], protocol=request.param, rate=300) as running:
        yield running


def test_without_a_key_nothing_is_recorded(tmp_path: Path) -> None:
    out = tmp_path / "orders.jsonl.zst"
    with pytest.raises(Misconfigured, match="an account opens them: give its key"):
        asyncio.run(record("kraken", ["BTC-USD"], out, books="orders"))
    with pytest.raises(NotOffered, match="binance does not offer order-level books"):
        asyncio.run(record("binance", [PAIR], out, books="orders"))
    assert not out.exists()


class Recorder:
    """A recording that ends when its book is at rest, and what only it knows: its orders and its account's proofs."""

    def __init__(self, exchange: LocalExchange, out: Path) -> None:
        name = exchange.protocol
        files = {which: Path(exchange.account[which]) for which in ("api_key_file", "secret_file")}
        more = [f"{field}={path}" for field, path in exchange.account.get("field_files", {}).items()]
        urls = exchange.urls
        key = choose_key(name, None, None, KeyOptions(**files, field_files=tuple(more))).key
        assert key is not None
        self.secrets = [key.api_key, key.secret, *key.fields.values()]
        settings = ConnectorSettings(name, rest=urls["rest"], ws=urls["ws"], ws_l3=urls.get("ws_l3", urls["ws"]))
        self._access = MarketAccess(settings, key)
        self._exchange, self._out, self._urls, self._session = exchange, out, urls, None

    def _feed(self, url: Any, handler: Any, **options: Any) -> Feed:
        self._session = self._session or handler
        return Feed(url, handler, **options)

    async def _proof(self, renew: bool) -> Any:
        given = await self._access(renew)
        self.secrets += [value for name, value in given.items() if name != "timestamp"]
        return given

    @property
    def pair(self) -> Any:
        return next(iter(self._session.ingest.pairs.values())) if self._session is not None else None

    async def run(self) -> dict[str, Any]:
        stop, name = asyncio.Event(), self._exchange.protocol
        given = {"rest": self._urls["rest"], "ws": self._urls["ws"], "ws_l3": self._urls.get("ws_l3", self._urls["ws"])}
        recording = asyncio.ensure_future(
            record(
                name,
                [PAIR],
                self._out,
                **given,
                books="orders",
                access=self._proof,
                connect=self._feed,
                stop=stop,
            )
        )
        try:
            await self._until(recording, lambda: self.pair is not None and self.pair.machine.counters.applied > CHANGES)
            await asyncio.to_thread(self._exchange.admin.pause, wait_s=5)
            truth = levels_of(self._exchange)
            await self._until(recording, lambda: top_of(self.pair) == truth)
        finally:
            stop.set()
            result = await recording
            await self._access.close()
        return result

    async def _until(self, recording: Any, condition: Any) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert not recording.done(), recording.result()
            assert time.monotonic() < end, "the recorded book did not come"
            await asyncio.sleep(0.01)


def levels_of(exchange: LocalExchange) -> list[list[tuple[Decimal, Decimal]]]:
    book = exchange.admin.book(TRADED)
    return [[(Decimal(price), Decimal(size)) for price, size in book[side][:5]] for side in ("bids", "asks")]


def top_of(pair: Any) -> list[list[tuple[Decimal, Decimal]]]:
    one = pair.instrument
    return [[(one.price(p), one.size(s)) for p, s in pair.book.levels(side, 5).tolist()] for side in Side]


def orders_of(pair: Any) -> list[Any]:
    return [(list(ids), rows.tolist()) for ids, rows in (pair.orders.rows(side) for side in Side)]


def changes_in(out: Path) -> list[int]:
    """Return the numbers of the records that change an order of the recorded book."""
    words = (b'"type":"update"', b'"type":"open"', b'"type":"done"')
    return [
        number
        for number, one in enumerate(read(out))
        if one.kind == "recv" and (b"level3" in one.raw or b"order_id" in one.raw) and any(w in one.raw for w in words)
    ]


async def test_a_recording_replays_to_the_same_orders(exchange: LocalExchange, tmp_path: Path) -> None:
    out, name = tmp_path / "orders.jsonl.zst", exchange.protocol
    recorder = Recorder(exchange, out)
    result = await recorder.run()
    assert result["pairs"][PAIR]["state"] == "LIVE"
    assert result["pairs"][PAIR]["orders"] == recorder.pair.orders.n_orders > 10
    kept = b"\n".join(one.raw + one.url.encode() for one in read(out))
    assert not [secret for secret in recorder.secrets if secret.encode() in kept]

    changes = changes_in(out)
    for what, lost in (("none", None), ("a change", changes[len(changes) // 2])):
        made = ConnectorSettings(name)
        run = Replay(made.order_level_codec(), listed_instruments(made.market_codec(), [out]), {}, fast=True)
        for number, one in enumerate(read(out)):
            if number != lost:
                run.feed("orders", one)
        (pair,) = run.ingest.pairs.values()
        assert (pair.machine.state is BookState.LIVE) == (lost is None), f"lost: {what}"

    (found,) = replay([out], name).values()
    assert found["state"] == "LIVE"
    assert found["book"]["applied"] > CHANGES
    assert found["book"]["orders"] == result["pairs"][PAIR]["orders"]
    assert found["book"]["gaps"] == found["book"]["crossed_after"] == 0
    assert found["trades"]["count"] > 0

    with ReplayMarket([out], name) as market:
        await market.play()
        book = await market.l3_book(PAIR, 1_000)
    wanted = orders_of(recorder.pair)
    for (ids, rows), side in zip(wanted, (book.bids, book.asks), strict=True):
        assert [one.decode() for one in side["id"]] == ids
        assert [list(row) for row in zip(side["price"], side["size"], strict=True)] == [row[:2] for row in rows]

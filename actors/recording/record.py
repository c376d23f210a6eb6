"""Record an exchange's messages, so that a replay of the file results in the exchange's books.

The recorder keeps books as a book role does, but without readers, so it knows when a snapshot is needed. The recording
has the list of instruments first, then every frame and every requested snapshot, in the order of their arrival.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

from ...connectors.market_codec import Codec, SubscribesWithAccess
from ...connectors.settings import ConnectorSettings, OptionValue
from ...connectors.transport import Feed, Rest
from ...model.errors import MeshError, Misconfigured, UnknownInstrument
from ...model.instrument import Instrument
from ...model.spelling import similar_pairs
from ..book.content import make_books
from ..book.ingest import NoSink, Pair
from ..book.machine import BookMachine
from ..book.shell import BookSession
from ..book.surroundings import FeedLike, Surroundings
from ..cell.role import Context
from ..limits.budget import Budget, Budgeted, RestLike
from ..limits.machine import Priority
from ..limits.role import LimitsRole
from ..limits.settings import LimitsSettings
from .file import CaptureWriter

BEAT_S = 0.05
FLUSH_S = 1.0  # a kill loses at most this much
SUFFIX = ".jsonl.zst"


class _OwnLimits:
    """The limits role in this process: a recording runs without a mesh and keeps the same limits."""

    def __init__(self, connector: ConnectorSettings, fail: Callable[[BaseException], None]) -> None:
        self.context = Context.alone("record", f"record/{connector.exchange}", ask=self._ask, fail=fail)
        self.role = LimitsRole(LimitsSettings(connector), self.context)

    async def _ask(self, address: str, kind: str, body: Any = None, timeout_s: float = 5.0) -> Any:
        return await self.role.handle(kind, body)


async def _listed(codec: Codec, rest: Budgeted, writer: CaptureWriter, pairs: Sequence[str]) -> list[Instrument]:
    """Fetch and record the list of instruments; return the requested ones, by our name or the exchange's symbol.

    After an error of the mesh no file is left.
    """
    try:
        request = codec.instruments_request()
        response = await rest.send(request, Priority.URGENT)
        failure = codec.failure(response)
        if failure is not None:
            raise failure
        listed = codec.instruments(response.body)
        known = {instrument.name: instrument for instrument in listed} | {found.symbol: found for found in listed}
        for pair in pairs:
            if pair not in known:
                similar = similar_pairs(pair, (found.name for found in listed))
                raise UnknownInstrument(codec.spec.exchange, pair, "the exchange lists no such pair", similar)
        writer.add(response.recv_ns, "http", response.body, request.url)
    except MeshError:
        try:
            writer.close()
        finally:
            writer.path.unlink(missing_ok=True)
        raise
    return list({known[pair].symbol: known[pair] for pair in pairs}.values())


async def record(
    exchange: str,
    pairs: Sequence[str],
    out: Path | str,
    seconds: float | None = None,
    rest: str | None = None,
    ws: str | None = None,
    environment: str | None = None,
    *,
    options: Mapping[str, OptionValue] | None = None,
    books: Literal["levels", "orders"] = "levels",
    ws_l3: str | None = None,
    access: Callable[[bool], Awaitable[Mapping[str, str]]] | None = None,
    connect: Callable[..., FeedLike] = Feed,
    client: RestLike | None = None,
    stop: asyncio.Event | None = None,
) -> dict[str, Any]:
    """Record frames and snapshots of `pairs` into the new file `out` until `seconds` have passed, `stop` is set, or the
    task is cancelled. In any case the file has everything received up to a second before the end.

    `rest`, `ws` and `ws_l3` override the exchange's base URLs; `options` are the connector's. With `books` "orders" the
    recording has the order-level feed; where that needs an account, `access` returns its proof (True: the last one was
    refused) and raises RetryLater if there is none now. The file has no proof. Returns plain values: file, records,
    frames, bytes, seconds, and `pairs` with the state and counters of each book.

    Raises:
        UnknownExchange, UnknownInstrument: nothing was recorded, no file is left.
        NotOffered: the exchange has no order-level books. Nothing was started.
        Misconfigured: `out` exists, cannot be created or does not end in .jsonl.zst; `seconds` is not above 0; the
            order-level feed needs `access`. Nothing was started.
        RetryLater, OutcomeUnknown, Rejected: the exchange did not send the list of instruments; no file is left.
        CaptureError: a write failed (disk full); the file has everything flushed before.
    """
    if seconds is not None and not seconds > 0:
        raise Misconfigured("seconds", f"{seconds:g} is not above 0")
    if not str(out).endswith(SUFFIX):
        raise Misconfigured(str(out), f"a recording's name ends in {SUFFIX}")
    connector = ConnectorSettings(
        exchange, rest=rest, ws=ws, ws_l3=ws_l3, environment=environment, options=options or {}
    )
    codec = connector.market_codec() if books == "levels" else connector.order_level_codec()
    if isinstance(codec, SubscribesWithAccess) and access is None:
        raise Misconfigured(f"order-level books of {exchange}", "an account opens them: give its key")
    writer = CaptureWriter(out)
    client = client or Rest()
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(error: BaseException) -> None:
        if not failed.done():
            failed.set_exception(error)

    limits = _OwnLimits(connector, fail)
    budget = Budget(limits.context, codec.spec, exchange, connector.egress)
    async with AsyncExitStack() as ending:  # every part ends, even if another part raises
        ending.push_async_callback(client.close)
        ending.push_async_callback(limits.role.stop)
        ending.callback(writer.close)
        await limits.role.start()
        instruments = await _listed(codec, Budgeted(budget, client), writer, pairs)
        surroundings = Surroundings(
            connect=connect,
            rest=client,
            budget=budget,
            monotonic_ns=time.monotonic_ns,
            time_ns=time.time_ns,
            alive=lambda: None,
            fail=fail,
            tap=lambda kind, url, raw, recv_ns: writer.add(recv_ns, kind, raw, url),
            access=access,
        )
        session = BookSession(codec, surroundings, levels=0)  # no readers: request only the snapshots for joining
        kept = {found.name: _pair(codec, found) for found in instruments}
        session.track(list(kept.values()))
        began = time.monotonic()
        await session.start()
        try:
            await _run(session, writer, began, seconds, stop, failed)
            ended = {name: _state(pair) for name, pair in kept.items()}
        finally:
            await session.stop()
            if failed.done():  # also an error during the stop
                failed.result()
        return {
            "file": str(writer.path),
            "records": writer.records,
            "frames": session.ingest.frames,
            "seconds": round(time.monotonic() - began, 3),
            "pairs": ended,
            "bytes": _closed(writer),
        }


async def _run(
    session: BookSession,
    writer: CaptureWriter,
    began: float,
    seconds: float | None,
    stop: asyncio.Event | None,
    failed: asyncio.Future[None],
) -> None:
    flushed = began
    while not failed.done() and (stop is None or not stop.is_set()):
        left_s = BEAT_S if seconds is None else min(BEAT_S, began + seconds - time.monotonic())
        if left_s <= 0:
            return
        await asyncio.wait({failed}, timeout=left_s)
        session.beat()
        if time.monotonic() - flushed >= FLUSH_S:
            flushed = time.monotonic()
            writer.flush()
    if failed.done():
        failed.result()


def _pair(codec: Codec, instrument: Instrument) -> Pair:
    feed = codec.spec.book
    machine = BookMachine(codec.classify, random.random, feed=feed, is_trading=instrument.is_trading)
    book, orders = make_books(feed, instrument)
    return Pair(instrument, book, machine, NoSink(), orders=orders)


def _state(pair: Pair) -> dict[str, Any]:
    counters = pair.machine.counters
    return {
        "state": pair.machine.state.name,
        "sequence": pair.book.sequence,
        "applied": counters.applied,
        "dropped": counters.dropped,
        "gaps": counters.gaps,
        "snapshots": counters.snapshots,
        "trades": pair.trades,
        **({} if pair.orders is None else {"orders": pair.orders.n_orders}),
    }


def _closed(writer: CaptureWriter) -> int:
    writer.close()
    return writer.written_bytes

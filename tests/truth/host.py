"""Book roles in a separate process, without Ray, hosted as by `actors/cell/ray_cell.py`.

    python -m tests.truth.host      one JSON line on standard input says what (`Asked`); then commands, a line each:
        books     every book whole, as it is: {pair: what the role's `snapshot` command gives, levels as lists}
        stats     {pair: what the role says of it}, "socket", "rss"
        tell [KIND, BODY]   give the first role a command and say its answer
        stop      stop the roles politely and end
        break     begin a publish of the first book and never end it; then wait to be killed

Everything that reaches a role is logged as `samples` says, so that the checker knows what had been read and when. The
process ends when standard input does. `broken` puts a defect into the rule on purpose; see `DEFECTS`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
import traceback
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tests.truth.samples import CLOSED, FRAME, SNAPSHOT, STARTED, Rows
from venuemesh.actors.book.events import Closed, Quiet
from venuemesh.actors.book.ingest import Ingest, Pair
from venuemesh.actors.book.machine import BookMachine
from venuemesh.actors.book.role import BookRole
from venuemesh.actors.book.settings import BookSettings
from venuemesh.actors.cell.local import LocalCells
from venuemesh.actors.cell.pulse import PERIOD_S
from venuemesh.actors.cell.role import Context
from venuemesh.actors.limits.role import LimitsRole
from venuemesh.actors.limits.settings import LimitsSettings
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.connectors.binance.market import BinanceCodec
from venuemesh.connectors.sequence import Numbers, Verdict
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.connectors.transport import Feed, Rest
from venuemesh.model.address import limits_address
from venuemesh.model.backoff import Backoff
from venuemesh.model.errors import MeshError
from venuemesh.model.events import BookState
from venuemesh.model.plain import from_plain
from venuemesh.model.time import SECOND_NS

EXIT_FAILED, EXIT_LEASE = 70, 75
_SEQUENCE = re.compile(rb'"lastUpdateId":\s*(\d+)')


@dataclass(slots=True)
class Asked:
    """What to host."""

    segments: str
    log: str
    roles: list[tuple[str, dict[str, Any]]]  # address, settings in plain values
    incarnation: tuple[int, int] = (1, 1)
    lease_s: float = 60.0  # far beyond what a busy machine takes away
    real_limits: bool = False  # the limits role itself; else every cost is granted at once
    hasty: bool = True  # short delays before another snapshot or connection; else the role's own
    timeout_s: float = 1.0  # of REST requests and of opening a connection
    silence_s: float | None = None
    broken: str | None = None


# Defects


def _apply_everything() -> None:
    BinanceCodec.classify = lambda self, sequence, delta, joined: Verdict.APPLY  # type: ignore[method-assign]


def _gaps_are_stale() -> None:
    right = BinanceCodec.classify

    def classify(self: BinanceCodec, sequence: int, delta: Numbers, joined: bool) -> Verdict:
        found = right(self, sequence, delta, joined)
        return Verdict.STALE if found is Verdict.GAP and joined else found

    BinanceCodec.classify = classify  # type: ignore[method-assign]


def _live_too_early() -> None:
    right = BookMachine._leave

    def leave(self: BookMachine, state: BookState) -> None:
        right(self, state)
        if state in (BookState.SYNCING, BookState.GAP):
            self.state = BookState.LIVE

    BookMachine._leave = leave  # type: ignore[method-assign]


def _deaf_to_the_end() -> None:
    BookMachine._lost = lambda self, state, reason: []  # type: ignore[method-assign]


class _DeafToZero:
    """A scanner that takes a size of zero for no news."""

    def __init__(self, right: Any) -> None:
        self._right = right
        self._books: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._right, name)

    def bind(self, symbol: str, book: Any) -> int:
        self._books.append(book)
        slot: int = self._right.bind(symbol, book)
        return slot

    def apply(self) -> None:
        bids, asks = (levels[levels[:, 1] != 0] for levels in self._right.levels())
        self._books[self._right.slot].apply(bids, asks, self._right.last)

    def feed(self, frame: Any) -> int:
        return -1  # left to the path that this defect is in


def _deaf_to_zero() -> None:
    right = BinanceCodec.scanner
    BinanceCodec.scanner = lambda self: _DeafToZero(right(self))  # type: ignore[method-assign]


DEFECTS = {
    "apply everything": _apply_everything,
    "gaps are stale": _gaps_are_stale,
    "live too early": _live_too_early,
    "deaf to zero": _deaf_to_zero,
    "deaf to the end": _deaf_to_the_end,
}


# The log


def _tap(rows: Rows) -> None:
    """Write down every frame, snapshot and lost connection, with the times around its handling."""
    frame_, snapshot_, on_ = Ingest.frame, Ingest.snapshot, Ingest.on

    def frame(self: Ingest, frame: bytes | memoryview, recv_ns: int) -> None:
        raw, began_ns = bytes(frame), time.monotonic_ns()
        frame_(self, frame, recv_ns)
        rows.add(FRAME, began_ns, time.monotonic_ns(), raw, list(self.pairs))

    def snapshot(self: Ingest, pair: Pair, attempt: int, body: bytes, limit: int, recv_ns: int) -> None:
        began_ns = time.monotonic_ns()
        snapshot_(self, pair, attempt, body, limit, recv_ns)
        found = _SEQUENCE.search(body)
        rows.add(SNAPSHOT, began_ns, time.monotonic_ns(), pair.instrument.symbol, int(found[1]) if found else None)

    def on(self: Ingest, pair: Pair, event: Any) -> None:
        began_ns = time.monotonic_ns()
        on_(self, pair, event)
        if isinstance(event, Closed | Quiet):
            rows.add(CLOSED, began_ns, time.monotonic_ns(), pair.instrument.symbol)

    Ingest.frame, Ingest.snapshot, Ingest.on = frame, snapshot, on  # type: ignore[method-assign]


# The host


class _Grants:
    """The limits role when every cost is granted at once."""

    reads: ClassVar[frozenset[str]] = frozenset()

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def beat(self) -> None: ...
    async def handle(self, kind: str, body: Any) -> Any:
        if kind == "acquire":
            return {"lease": 1, "expires_ns": time.monotonic_ns() + 10 * SECOND_NS, "ttl_s": 10.0}
        return None

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        return await self.handle(kind, body)

    def status(self) -> dict[str, Any]:
        return {"state": "SERVING", "error": None}


class Host:
    """Hosts the roles of one process as cells; made on the running loop."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._cells = LocalCells(
            "truth",
            Path(asked.segments),
            first=asked.incarnation[1],
            lease_s=asked.lease_s,
            on_failed=_end,
            on_lease_over=lambda _: os._exit(EXIT_LEASE),
        )

    @property
    def roles(self) -> list[Any]:
        return [self._cells.role(address) for address, _ in self._asked.roles]

    def _book(self, plain: dict[str, Any], context: Context) -> BookRole:
        connect = partial(Feed, connect_timeout_s=self._asked.timeout_s)
        if self._asked.hasty:
            connect = partial(connect, backoff=Backoff(first_s=0.05, cap_s=0.5))
        rest = Rest(timeout_s=self._asked.timeout_s)
        return BookRole(from_plain(BookSettings, plain), context, connect=connect, rest=rest)

    def _limits(self, context: Context) -> Any:
        settings = LimitsSettings(ConnectorSettings("binance"))
        return LimitsRole(settings, context) if self._asked.real_limits else _Grants()

    async def run(self, rows: Rows) -> None:
        await self._cells.start(limits_address("binance", "default"), self._limits)
        for address, plain in self._asked.roles:
            await self._cells.start(address, partial(self._book, plain))
        flushing = asyncio.create_task(self._flush(rows))
        commands = asyncio.StreamReader(limit=1 << 20)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        _answer({"ready": os.getpid()})
        while (line := await commands.readline()).strip():
            match line.decode().strip():
                case tell if tell.startswith("tell "):
                    kind, body = json.loads(tell.removeprefix("tell "))
                    _answer(await self.roles[0].handle(kind, body))
                case "books":
                    _answer(await self._books())
                case "stats":
                    rows.flush()
                    _answer(self._stats())
                case "break":
                    hosted = next(iter(self.roles[0]._hosted.values()))
                    hosted.writer._begin_publish()
                    _answer({"broken": True})
                    signal.pause()
                case "stop":
                    break
        flushing.cancel()
        await self._cells.close()
        rows.close()
        _answer({"stopped": True})

    async def _flush(self, rows: Rows) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            rows.flush()

    async def _books(self) -> dict[str, Any]:
        books = {}
        for role in self.roles:
            for name in role.status()["pairs"]:
                found = await role.handle("snapshot", {"pair": name})
                for side in ("bids", "asks"):
                    found[side] = np.frombuffer(found[side], np.int64).reshape(-1, 2).tolist()
                found["state"] = BookState(found["state"]).name
                books[name] = found
        return books

    def _stats(self) -> dict[str, Any]:
        statuses = [role.status() for role in self.roles]
        with open("/proc/self/statm", "rb") as statm:
            rss = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return {
            "pairs": {name: found for status in statuses for name, found in status["pairs"].items()},
            "sockets": [status["socket"] for status in statuses],
            "rss": rss,
        }


def _end(address: str, error: BaseException) -> None:
    traceback.print_exception(error, file=sys.stderr)
    sys.stderr.flush()
    os._exit(EXIT_FAILED)


def _answer(answer: Any) -> None:
    print(json.dumps(answer), flush=True)


def _prepare(asked: Asked) -> None:
    """Apply settings that no configuration offers, then the requested defect, if any."""
    if asked.hasty:
        init, backoff = BookMachine.__init__, Backoff(first_s=0.02, cap_s=0.2)

        def machine(self: BookMachine, *args: Any, **settings: Any) -> None:
            init(self, *args, **{"backoff": backoff, **settings})

        BookMachine.__init__ = machine  # type: ignore[method-assign]
    if asked.silence_s is not None:
        object.__setattr__(CONNECTOR, "spec", replace(CONNECTOR.spec, silence_s=asked.silence_s))
    if asked.broken is not None:
        DEFECTS[asked.broken]()


def main() -> None:
    asked = Asked(**json.loads(sys.stdin.buffer.readline()))
    rows = Rows(Path(asked.log))
    rows.add(STARTED, time.monotonic_ns())
    _prepare(asked)
    _tap(rows)

    async def run() -> None:
        await Host(asked).run(rows)

    try:
        asyncio.run(run())
    except MeshError as error:
        _answer({"error": str(error)})
        sys.exit(2)


if __name__ == "__main__":
    main()

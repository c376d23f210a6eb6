"""The demonstration: local exchange, mesh, two strategies that trade; a book and the order manager are killed.

At the end every book is compared with the exchange's own, and the account with the exchange's ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import tempfile
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from ...config.mesh import check_config
from ...defaults import EXCHANGE
from ...exchange.admin.client import AdminClient
from ...exchange.launch import serving
from ...market.aio.ticks import every
from ...market.market import AsyncMarket
from ...mesh.cluster import kill_actor, local_ray, spawn_actor
from ...mesh.mesh import Mesh, launch
from ...model.address import book_address
from ...model.errors import MeshError, Misconfigured, NotSynced
from ...model.events import BookState
from ...orderbook.view import AsyncBookView
from ..grid import Column, Grid
from ..output import Say
from ..tables import WATCHED, Rates, incarnation_text, mebibytes, price_text, role_state, state_text, watch_cells
from .screen import Screen
from .strategies import (
    ACCOUNT,
    ManagerDeath,
    Trader,
    account_text,
    events_table,
    fates_text,
    kill_manager,
    reconcile,
    settle,
    write_secrets,
)

MESH = "demo"
SYMBOLS = (
    "BTCUSDT",
    "ETHUSDT",
    "SOLUSDT",
    "BNBUSDT",
    "ETHBTC",
    "XRPUSDT",
    "ADAUSDT",
    "DOGEUSDT",
    "LTCUSDT",
    "LINKUSDT",
    "DOTUSDT",
    "AVAXUSDT",
    "TRXUSDT",
    "ATOMUSDT",
    "NEARUSDT",
    "UNIUSDT",
)
START_LIMIT_S = 90.0
SETTLE_LIMIT_S = 20.0
STYLES = ("quoter", "taker")
RECV_WINDOW_MS = 2000  # validity of a request; orders in doubt after a manager's death are settled when it has passed


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The options of the command line."""

    seconds: float
    pairs: int
    rate: float
    seed: int
    as_json: bool


@dataclass(slots=True)
class Recovery:
    """One kill, and the milliseconds until the book was served and LIVE again."""

    address: str
    pid: int
    adopted_ms: float | None = None
    live_ms: float | None = None


@dataclass(slots=True)
class Summary:
    """The result of the demonstration; `--json` prints it."""

    ok: bool = True
    seconds: float = 0.0
    pairs: dict[str, dict[str, Any]] = field(default_factory=dict)
    latency_us: dict[str, float | int] = field(default_factory=dict)
    recovery_ms: dict[str, Any] = field(default_factory=dict)
    trading: dict[str, Any] = field(default_factory=dict)
    manager: dict[str, Any] = field(default_factory=dict)
    actors: list[dict[str, Any]] = field(default_factory=list)
    restarted: list[str] = field(
        default_factory=list
    )  # actors that ended although the demonstration had not killed them
    problems: list[str] = field(default_factory=list)


class Strategy:
    """A strategy: it follows every book of a market, records the age of each change on arrival, and trades."""

    def __init__(self, market: AsyncMarket, style: str) -> None:
        self._market = market
        self._trader = Trader(market, style)
        self._age_ns: dict[str, np.ndarray[Any, np.dtype[np.int64]]] = {}
        self._changes: dict[str, int] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> int:
        """Follow all pairs; return the process id."""
        for pair in self._market.trading_pairs:
            self._age_ns[pair] = np.zeros(8192, np.int64)  # the newest ages, in a ring
            self._changes[pair] = 0
            self._tasks.append(asyncio.create_task(self._follow(pair)))
        self._trader.start()
        return os.getpid()

    async def traded(self) -> dict[str, Any]:
        """Return counts of the strategy's order events. Raises the error that ended its trading."""
        return self._trader.seen()

    async def finish(self) -> list[str]:
        """Stop placing orders; return every id that was handed out."""
        return await self._trader.finish()

    async def _follow(self, pair: str) -> None:
        ages = self._age_ns[pair]
        async for top in self._market.order_book(pair).changes():
            received_ns = top.ts_recv_ns
            if received_ns is None:  # pairs of which LIVE books were received
                raise AssertionError(f"{pair} is LIVE, but none of its changes arrived")
            ages[self._changes[pair] % len(ages)] = time.time_ns() - received_ns
            self._changes[pair] += 1

    async def seen(self) -> dict[str, Any]:
        """Return the number of changes and the ages of the newest, in ns, per pair. Raises the error of a follower."""
        for task in self._tasks:
            if task.done():
                task.result()
        return {
            pair: {"changes": count, "age_ns": self._age_ns[pair][: min(count, len(self._age_ns[pair]))]}
            for pair, count in self._changes.items()
        }


def run_demo(options: DemoOptions, console: Console, say: Say) -> int:
    """Run the demonstration; return the exit status: 0 when all books and the account equal the exchange's.

    `say` gets a line for each step of the start.
    """
    with contextlib.ExitStack() as running:
        say("starting the local exchange")
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="venuemesh-demo-")))
        account = write_secrets(folder)
        _, urls = running.enter_context(_local_exchange(options, folder))
        say("starting Ray")
        running.enter_context(local_ray())
        say("starting the supervisor")
        mesh = launch(_config(options, urls[EXCHANGE], folder, account))
        running.callback(mesh.shutdown)
        refused = mesh.wait_started(START_LIMIT_S, say)
        if refused:
            raise Misconfigured("demo", f"pairs refused: {refused}")
        summary = asyncio.run(_Demo(options, console, mesh, AdminClient(urls["admin"])).run())
    if options.as_json:
        print(json.dumps(asdict(summary)))
    else:
        _show_summary(console, summary)
    return 0 if summary.ok else 1


def _local_exchange(options: DemoOptions, folder: Path) -> AbstractContextManager[tuple[int, dict[str, Any]]]:
    """Run the local exchange as its own process."""
    symbols = ",".join(SYMBOLS[: options.pairs])
    market = ["--seed", str(options.seed), "--rate", str(options.rate * options.pairs), "--symbols", symbols]
    market += ["--accounts", str(folder / "accounts.toml")]
    return serving("venuemesh.exchange", "--json", "--parent", str(os.getpid()), *market)


def _config(options: DemoOptions, urls: dict[str, str], folder: Path, account: dict[str, Any]) -> Any:
    pairs = [pair_of(symbol) for symbol in SYMBOLS[: options.pairs]]
    places = {name: urls[name] for name in ("rest", "ws", "ws_api")}
    exchange = {"pairs": pairs, **places, "accounts": {ACCOUNT: account | {"recv_window_ms": RECV_WINDOW_MS}}}
    journal = {"url": f"sqlite:///{folder / 'journal.sqlite'}", "remember": False}
    plain = {"mesh": {"name": f"{MESH}-{os.getpid()}"}, "journal": journal, "exchanges": {EXCHANGE: exchange}}
    return check_config(plain, "demo")


def pair_of(symbol: str) -> str:
    quote = next(quote for quote in ("USDT", "BTC") if symbol.endswith(quote))
    return f"{symbol.removesuffix(quote)}-{quote}"


class _Demo:
    """The running part: strategies, live view, kills, comparison."""

    def __init__(self, options: DemoOptions, console: Console, mesh: Mesh, admin: AdminClient) -> None:
        self.options = options
        self.console = console
        self.mesh = mesh.aio
        self.admin = admin
        self.market = self.mesh.market(EXCHANGE, ACCOUNT, owner="demo")
        self.death: ManagerDeath | None = None
        self.traded: list[dict[str, Any]] = []
        self.views: dict[str, AsyncBookView] = {
            pair: self.market.order_book(pair) for pair in self.market.trading_pairs
        }
        self.rates = Rates()
        self.recovery: Recovery | None = None
        self.tree: dict[str, Any] = {}
        self.seen: list[dict[str, Any]] = []

    async def run(self) -> Summary:
        await self.market.wait_ready(START_LIMIT_S)
        await self.market.wait_trading(START_LIMIT_S)
        markets = {style: self.mesh.market(EXCHANGE, ACCOUNT, owner=style) for style in STYLES}
        strategies = [spawn_actor(Strategy, market, style) for style, market in markets.items()]
        pids = await asyncio.gather(*(strategy.start.remote() for strategy in strategies))
        show = (
            contextlib.nullcontext()
            if self.options.as_json
            else Live(console=self.console, auto_refresh=False, vertical_overflow="visible")
        )
        killer = asyncio.create_task(self._kill_both())
        with show as live:
            async for tick in every(0.5):
                self.tree = await self.mesh.status()
                self.seen = await asyncio.gather(*(strategy.seen.remote() for strategy in strategies))
                self.traded = await asyncio.gather(*(strategy.traded.remote() for strategy in strategies))
                if live is not None:
                    live.update(self._screen(tick * 0.5), refresh=True)
                if tick * 0.5 >= self.options.seconds and killer.done():
                    break
        await killer
        summary = Summary(seconds=self.options.seconds)
        handed_out = [
            order_id for ids in await asyncio.gather(*(s.finish.remote() for s in strategies)) for order_id in ids
        ]
        await settle(self.market)
        await self._compare(summary)
        handed_out += self.death.in_flight if self.death is not None else []
        summary.trading = await reconcile(self.market, self.admin, handed_out)
        summary.problems += summary.trading.pop("problems")
        self.tree = await self.mesh.status()
        self.seen = await asyncio.gather(*(strategy.seen.remote() for strategy in strategies))
        self._measure(summary, pids)
        for strategy in strategies:
            kill_actor(strategy)
        return summary

    async def _kill_both(self) -> None:
        """Kill a book after two fifths of the time, and the order manager after three fifths."""
        await asyncio.sleep(self.options.seconds * 0.4)
        await self._kill_book()
        await asyncio.sleep(self.options.seconds * 0.2)
        self.death = await kill_manager(self.mesh, self.market, START_LIMIT_S)

    async def _kill_book(self) -> None:
        """SIGKILL the first book's process; measure the time until the book serves and until it is LIVE."""
        pair, view = next(iter(self.views.items()))
        address = book_address(EXCHANGE, pair)
        child = next(row for row in (await self.mesh.status())["children"] if row["address"] == address)
        before = view.incarnation
        self.recovery = recovery = Recovery(address, child["pid"])
        killed_ns = time.monotonic_ns()
        os.kill(child["pid"], signal.SIGKILL)
        async with asyncio.timeout(START_LIMIT_S):
            async for _ in every(0.001):
                state, incarnation = view.state, view.incarnation
                if incarnation is None or incarnation == before:
                    continue
                passed_ms = (time.monotonic_ns() - killed_ns) / 1e6
                if recovery.adopted_ms is None:
                    recovery.adopted_ms = passed_ms
                if state is BookState.LIVE:
                    recovery.live_ms = passed_ms
                    return

    # -------------------------------------------------------------- live view

    def _screen(self, elapsed_s: float) -> Screen:
        added = (Column("restarts", right=True, rank=5), Column("latency p50", right=True, rank=1))
        title = f"venuemesh demo, {elapsed_s:.0f} of {self.options.seconds:.0f} s"
        books = Grid((Column("book"), *WATCHED, *added), title=title)
        children = {row["address"]: row for row in self.tree["children"]}
        now_ns = time.monotonic_ns()
        for pair, view in self.views.items():
            ages = np.concatenate([rows[pair]["age_ns"] for rows in self.seen])
            latency = f"{np.median(ages) / 1e3:.0f} us" if len(ages) else ""
            row = children.get(view.address, {})
            books.add(pair, *watch_cells(view, self.rates, pair, now_ns), str(row.get("restarts", "")), latency)
        names = ("pid", "incarnation", "restarts", "memory")
        actors = Grid((Column("actor"), Column("state"), *(Column(name, right=True) for name in names)))
        for row in self.tree["children"]:
            if row["address"] not in {view.address for view in self.views.values()}:
                actors.add(
                    row["address"],
                    role_state(row),
                    str(row["pid"] or ""),
                    incarnation_text(row["incarnation"]),
                    str(row["restarts"]),
                    mebibytes(row.get("rss")),
                )
        notes = []
        if self.recovery is not None:
            notes.append(_recovery_text(self.recovery))
        if self.death is not None:
            notes.append(fates_text(self.death))
        return Screen(books, actors, [events_table(STYLES, self.traded), *notes])

    # -------------------------------------------------------------- result

    async def _compare(self, summary: Summary) -> None:
        """Pause the exchange and compare every book with the exchange's own, level by level."""
        await asyncio.to_thread(self.admin.pause, 2.0)
        for pair, view in self.views.items():
            symbol = view.instrument.symbol
            theirs = await asyncio.to_thread(self.admin.book, symbol)
            try:
                await _reach(view, theirs["update_id"])
            except (NotSynced, TimeoutError) as error:
                summary.problems.append(f"{pair}: did not reach update {theirs['update_id']}: {error!r}")
            summary.pairs[pair] = row = self._pair_row(view, theirs)
            if not row["equal"]:
                summary.problems.append(f"{pair}: the mesh's book differs from the exchange's")
            if row["state"] != BookState.LIVE.name:
                summary.problems.append(f"{pair}: is {row['state']} at the end")
        summary.ok = not summary.problems

    def _pair_row(self, view: AsyncBookView, theirs: dict[str, Any]) -> dict[str, Any]:
        instrument = view.instrument
        expected = {
            side: [[instrument.price_raw(price), instrument.size_raw(size)] for price, size in theirs[side]]
            for side in ("bids", "asks")
        }
        try:
            ours = view.snapshot()
            held = {"bids": ours.bids.tolist(), "asks": ours.asks.tolist()}
        except MeshError:
            held = {"bids": [], "asks": []}
        equal = all(held[side] and held[side] == expected[side][: len(held[side])] for side in held)

        def top(levels: dict[str, Any]) -> dict[str, str | None]:
            return {
                name: price_text(instrument.price(levels[side][0][0]), instrument) if levels[side] else None
                for name, side in (("bid", "bids"), ("ask", "asks"))
            }

        counted = view.statistics
        return {
            "updates": counted.updates,
            "gaps": counted.gaps,
            "resyncs": counted.resyncs,
            "state": view.state.name,
            "sequence": view.sequence,
            "levels_compared": sum(len(levels) for levels in held.values()),
            "equal": bool(equal),
            "top_here": top(held),
            "top_at_exchange": top(expected),
        }

    def _measure(self, summary: Summary, strategy_pids: list[int]) -> None:
        ages = np.concatenate([pair["age_ns"] for rows in self.seen for pair in rows.values()])
        if len(ages):
            p50, p90, p99 = (round(float(value) / 1e3, 1) for value in np.percentile(ages, (50, 90, 99)))
            summary.latency_us = {"p50": p50, "p90": p90, "p99": p99, "samples": len(ages)}
        else:
            summary.problems.append("no strategy saw a change")
        changes = [{pair: row["changes"] for pair, row in rows.items()} for rows in self.seen]
        if any(count == 0 for counts in changes for count in counts.values()):
            summary.problems.append(f"a strategy saw no change of one of its pairs: {changes}")
        if self.recovery is not None:
            summary.recovery_ms = {
                "address": self.recovery.address,
                "adopted": self.recovery.adopted_ms and round(self.recovery.adopted_ms, 1),
                "live": self.recovery.live_ms and round(self.recovery.live_ms, 1),
            }
        if self.death is not None:
            summary.manager = asdict(self.death)
        for style, counted in zip(STYLES, self.traded, strict=True):
            if counted["holes"]:
                summary.problems.append(f"the {style} saw {counted['holes']} gaps in the event numbers")
            if not counted["events"].get("filled"):
                summary.problems.append(f"the {style} saw no fill: {counted}")
        summary.actors = [
            {
                key: row.get(key)
                for key in ("address", "state", "pid", "incarnation", "restarts", "last_error", "rss", "pss")
            }
            for row in self.tree["children"]
        ]
        summary.restarted = restarted_unasked(summary)
        summary.actors += [{"address": f"strategy/{n}", "pid": pid} for n, pid in enumerate(strategy_pids)]
        summary.ok = not summary.problems


async def _reach(view: AsyncBookView, sequence: int) -> None:
    async with asyncio.timeout(SETTLE_LIMIT_S):
        async for _ in every(0.01):
            if view.state is BookState.LIVE and view.sequence >= sequence:
                return


def _recovery_text(recovery: Recovery) -> str:
    text = f"killed {recovery.address} (process {recovery.pid}) with SIGKILL"
    if recovery.adopted_ms is not None:
        text += f"; served again after {recovery.adopted_ms:.0f} ms"
    if recovery.live_ms is not None:
        text += f", LIVE after {recovery.live_ms:.0f} ms"
    return text


def restarted_unasked(summary: Summary) -> list[str]:
    """Name the actors that were replaced more often than the demonstration killed them, each with its last error."""
    killed = Counter(one["address"] for one in (summary.recovery_ms, summary.manager) if one)
    found = []
    for row in summary.actors:
        more = (row["restarts"] or 0) - killed[row["address"]]
        if more > 0:
            times = "once" if more == 1 else f"{more} times"
            why = row["last_error"] or "the supervisor has no error of it"
            found.append(f"{row['address']} ended {times} although the demonstration had not killed it: {why}")
    return found


def _show_summary(console: Console, summary: Summary) -> None:
    columns = (
        Column("pair"),
        Column("state", rank=2),
        Column("updates", right=True, rank=3),
        Column("gaps", right=True, rank=1),
        Column("resyncs", right=True, rank=4),
        Column("best bid / ask here", right=True),
        Column("at the exchange", right=True),
        Column("levels", right=True),
        Column("equal"),
    )
    table = Grid(columns, title="paused, compared with the exchange's books")
    for pair, row in summary.pairs.items():
        tops = [f"{row[key]['bid']} / {row[key]['ask']}" for key in ("top_here", "top_at_exchange")]
        counts = [str(row[key]) for key in ("updates", "gaps", "resyncs")]
        equal = Text("yes", "green") if row["equal"] else Text("no", "red")
        table.add(pair, state_text(row["state"]), *counts, *tops, str(row["levels_compared"]), equal)
    console.print(table)
    latency, recovery = summary.latency_us, summary.recovery_ms
    if latency:
        console.print(
            f"feed to strategy: p50 {latency['p50']} us, p99 {latency['p99']} us over {latency['samples']} changes"
        )
    if recovery:
        console.print(
            f"{recovery['address']} killed: served after {recovery['adopted']} ms, LIVE after {recovery['live']} ms"
        )
    manager, trading = summary.manager, summary.trading
    if manager:
        console.print(fates_text(ManagerDeath(**manager)))
    if trading:
        console.print(account_text(trading))
    for line in summary.restarted:
        console.print(Text(line, "yellow"))
    for problem in summary.problems:
        console.print(Text(problem, "red"))
    console.print(Text("all comparisons agree", "green") if summary.ok else Text("a comparison does not agree", "red"))

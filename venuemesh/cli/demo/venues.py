"""The demonstration on several exchanges: a market maker on each, and an arbitrage between them on other pairs.

A book, a user stream and an order manager are killed, each of another exchange. At the end every account is compared
with the ledger of its exchange.
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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console

from ...config.mesh import check_config
from ...conformance.trading.venue import Venue
from ...connectors import registry
from ...exchange.face import protocol_names
from ...market.aio.ticks import every
from ...market.market import AsyncMarket
from ...mesh.cluster import kill_actor, local_ray, spawn_actor
from ...mesh.mesh import Mesh, launch
from ...model.address import book_address, stream_address
from ...model.errors import MeshError, Misconfigured, NotSynced, OutcomeUnknown, Rejected, RetryLater
from ...model.events import BookState
from ..grid import Column, Grid
from ..local_venue import local_venue
from ..output import Say
from .demo import SYMBOLS, pair_of
from .strategies import ACCOUNT, Trader, all_events, all_rows, kill_manager, settle, touch

ALL = "all"
START_LIMIT_S = 120.0
HOLDS = {"USDT": "1000000", "BTC": "20", "ETH": "300", "SOL": "5000", "BNB": "1500"}
RATE = 50.0  # level changes a second and pair at each exchange
WORTH = Decimal(60)  # value of one order of the arbitrage, in the quote asset
QUOTE_S = 4.0  # pause between renewals of quotes: four pairs then stay within the limits of every exchange
LOOK_S = 0.2  # pause between two looks of the arbitrage at a pair
LEDGER_S = 20.0  # how long the comparison with a ledger may take until the last reports have come


@dataclass(frozen=True, slots=True)
class VenuesOptions:
    """The options of the command line."""

    venues: tuple[str, ...]
    seconds: float
    pairs: tuple[str, ...]
    seed: int
    as_json: bool

    @classmethod
    def read(cls, venues: str, seconds: float, pairs: int, seed: int, as_json: bool) -> VenuesOptions:
        """Raises Misconfigured: the local exchange does not speak a protocol, or there are fewer than two."""
        spoken = [name for name in protocol_names() if registry.connector(name).spec.sister_of is None]
        names = tuple(spoken) if venues == ALL else tuple(dict.fromkeys(venues.split(",")))
        if unknown := [name for name in names if name not in protocol_names()]:
            raise Misconfigured(
                f"--venues {unknown[0]}", f"the local exchange speaks {', '.join(protocol_names())} only"
            )
        if pairs < 2:
            raise Misconfigured("--pairs", "several exchanges need at least 2: one to quote, one for the arbitrage")
        if len(names) < 2:
            raise Misconfigured(f"--venues {venues}", "names one exchange; leave the option out for one, or name two")
        return cls(names, seconds, tuple(pair_of(symbol) for symbol in SYMBOLS[:pairs]), seed, as_json)


@dataclass(slots=True)
class Kill:
    """One killed actor, and the milliseconds until its successor did its work."""

    address: str
    pid: int
    back_ms: float | None = None


@dataclass(slots=True)
class VenuesSummary:
    """The result; `--json` prints it."""

    ok: bool = True
    seconds: float = 0.0
    start_s: float = 0.0
    kills: list[dict[str, Any]] = field(default_factory=list)
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    arbitrage: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Maker:
    """The market maker on one exchange."""

    def __init__(self, market: AsyncMarket, pairs: Sequence[str]) -> None:
        self._trader = Trader(market, "quoter", QUOTE_S, pairs)

    async def start(self) -> None:
        self._trader.start()

    async def seen(self) -> dict[str, Any]:
        """Return counts of the order events. Raises the error that ended its trading."""
        return self._trader.seen()

    async def finish(self) -> list[str]:
        """Stop placing orders; return every id that reached the manager."""
        return await self._trader.finish()


class Arbitrage:
    """Buys a pair where it is cheapest and sells it where it is dearest, at the same time, if the books cross."""

    def __init__(self, markets: Mapping[str, AsyncMarket], pairs: Sequence[str]) -> None:
        self._markets, self._pairs = dict(markets), tuple(pairs)
        self._handed_out: dict[str, list[str]] = {name: [] for name in markets}
        self._counted: Counter[str] = Counter()
        self._running = True
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._work())

    async def seen(self) -> dict[str, int]:
        """Return what it has done. Raises the error that ended its trading."""
        if self._task is not None and self._task.done():
            self._task.result()
        return dict(self._counted)

    async def finish(self) -> dict[str, list[str]]:
        """Stop; return every id that was handed out, by exchange."""
        self._running = False
        if self._task is not None:
            await self._task
        return self._handed_out

    async def _work(self) -> None:
        async for turn in every(LOOK_S):
            if not self._running:
                return
            pair = self._pairs[turn % len(self._pairs)]
            tops = {}
            for name, market in self._markets.items():
                with contextlib.suppress(NotSynced, RetryLater):
                    tops[name] = touch(market, pair)
            if len(tops) < 2:
                self._counted["books missing"] += 1
                continue
            cheap = min(tops, key=lambda name: tops[name][1])
            dear = max(tops, key=lambda name: tops[name][0])
            if tops[dear][0] <= tops[cheap][1]:
                self._counted["no difference"] += 1
                continue
            self._counted["both legs sent"] += 1
            await asyncio.gather(
                self._take(cheap, "buy", pair, tops[cheap][1]), self._take(dear, "sell", pair, tops[dear][0])
            )

    async def _take(self, name: str, side: str, pair: str, price: Decimal) -> None:
        market = self._markets[name]
        try:
            amount = market.quantize_amount(pair, WORTH / price)
            order = market.new_order(side, pair, amount, "LIMIT", price, "IOC")
            self._handed_out[name].append(order.client_order_id)
            (placed,) = await market.place_orders([order])
            self._counted["legs placed"] += 1 if placed is not None else 0
        except (Rejected, RetryLater, OutcomeUnknown, NotSynced) as error:
            self._counted[type(error).__name__] += 1


def run_venues(options: VenuesOptions, console: Console, say: Say) -> int:
    """Run the demonstration; return the exit status: 0 when every account equals its exchange's ledger."""
    with contextlib.ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="venuemesh-demo-")))
        venues: dict[str, Venue] = {}
        for seed, name in enumerate(options.venues, options.seed):
            say(f"starting a local exchange that speaks {name}")
            rate = RATE * len(options.pairs)
            made = local_venue(name, pairs=options.pairs, holds=HOLDS, rate=rate, seed=seed)
            venues[name] = running.enter_context(made)
        began = time.monotonic()
        say("starting Ray")
        running.enter_context(local_ray())
        say("starting the supervisor")
        mesh = launch(check_config(_config(options, venues, folder), "demo"))
        running.callback(mesh.shutdown)
        if refused := mesh.wait_started(START_LIMIT_S, say):
            raise Misconfigured("demo", f"pairs refused: {refused}")
        summary = asyncio.run(_Venues(options, mesh, venues, say).run(began))
    if options.as_json:
        print(json.dumps(asdict(summary)))
    else:
        _show(console, summary)
    return 0 if summary.ok else 1


def _config(options: VenuesOptions, venues: Mapping[str, Venue], folder: Path) -> dict[str, Any]:
    """Return the configuration: one actor for all books of an exchange, so that six exchanges fit a small machine."""
    exchanges = {
        name: {
            **{key: url for key in ("rest", "ws", "ws_api") if (url := getattr(venue, key)) is not None},
            "pairs": list(options.pairs),
            "pairs_per_actor": len(options.pairs),
            "limits": dict(venue.limits),
            "accounts": {ACCOUNT: dict(venue.account)},
        }
        for name, venue in venues.items()
    }
    journal = {"url": f"sqlite:///{folder / 'journal.sqlite'}", "remember": False}
    return {"mesh": {"name": f"demo-{os.getpid()}"}, "journal": journal, "exchanges": exchanges}


class _Venues:
    """The running part: strategies, kills, comparison."""

    def __init__(self, options: VenuesOptions, mesh: Mesh, venues: Mapping[str, Venue], say: Say) -> None:
        self.options, self.venues, self.say = options, venues, say
        self.mesh = mesh.aio
        self.markets = {name: self.mesh.market(name, ACCOUNT, owner="demo") for name in venues}

    async def run(self, began: float) -> VenuesSummary:
        summary = VenuesSummary(seconds=self.options.seconds)
        for market in self.markets.values():
            await market.wait_ready(START_LIMIT_S)
            await market.wait_trading(START_LIMIT_S)
        summary.start_s = time.monotonic() - began
        self.say(f"{len(self.markets)} exchanges serve")
        # They have one account: on the same pair one would trade with the other
        half = len(self.options.pairs) // 2
        taken, quoted = self.options.pairs[:half], self.options.pairs[half:]
        market_of = {name: self.mesh.market(name, ACCOUNT, owner="maker") for name in self.markets}
        makers = {name: spawn_actor(Maker, market, quoted) for name, market in market_of.items()}
        between = {name: self.mesh.market(name, ACCOUNT, owner="arbitrage") for name in self.markets}
        arbitrage = spawn_actor(Arbitrage, between, taken)
        strategies = [*makers.values(), arbitrage]
        await asyncio.gather(*(one.start.remote() for one in strategies))
        in_flight = await self._trade(strategies, summary)
        ids = {name: list(await maker.finish.remote()) for name, maker in makers.items()}
        handed_out: dict[str, list[str]] = await arbitrage.finish.remote()
        summary.arbitrage = await arbitrage.seen.remote()
        for name, market in self.markets.items():
            self.say(f"comparing the account of {name} with its ledger")
            await settle(market)
            known = ids[name] + handed_out[name] + in_flight.get(name, [])
            summary.accounts[name] = row = await self._compared(name, market, known)
            summary.problems += [f"{name}: {problem}" for problem in row.pop("problems")]
        for strategy in strategies:
            kill_actor(strategy)
        summary.ok = not summary.problems
        return summary

    async def _trade(self, strategies: Sequence[Any], summary: VenuesSummary) -> dict[str, list[str]]:
        """Let the strategies trade, and kill an actor of three exchanges; return ids that were in flight at a kill."""
        names = list(self.markets)
        book, stream, manager = (names[at % len(names)] for at in range(3))
        pause_s, in_flight = self.options.seconds / 4, {}
        await asyncio.sleep(pause_s)
        summary.kills.append(asdict(await self._kill_book(book)))
        await asyncio.sleep(pause_s)
        summary.kills.append(asdict(await self._kill_stream(stream)))
        await asyncio.sleep(pause_s)
        self.say(f"killing the order manager of {manager}")
        death = await kill_manager(self.mesh, self.markets[manager], START_LIMIT_S)
        in_flight[manager] = death.in_flight
        summary.kills.append(asdict(Kill(death.address, death.pid, death.reconciled_ms)))
        await asyncio.sleep(pause_s)
        await asyncio.gather(*(one.seen.remote() for one in strategies))  # raises what ended one
        return in_flight

    async def _kill_book(self, name: str) -> Kill:
        """Kill the process of the exchange's books; wait until the first book is LIVE from another one."""
        view = self.markets[name].order_book(self.options.pairs[0])
        before, address = view.incarnation, view.address
        kill = await self._killed(address, book_address(name, ""))
        began = time.monotonic_ns()
        async with asyncio.timeout(START_LIMIT_S):
            async for _ in every(0.005):
                if view.incarnation not in (None, before) and view.state is BookState.LIVE:
                    break
        kill.back_ms = (time.monotonic_ns() - began) / 1e6
        return kill

    async def _kill_stream(self, name: str) -> Kill:
        """Kill the exchange's user stream; wait until another one is open and the account is reconciled."""
        address = stream_address(name, ACCOUNT)
        kill = await self._killed(address, address)
        began = time.monotonic_ns()
        async with asyncio.timeout(START_LIMIT_S):
            async for _ in every(0.02):
                row = await self._row(address, address)
                if row is None or row["pid"] in (None, kill.pid) or row["state"] != "SERVING":
                    continue
                with contextlib.suppress(MeshError):
                    if (await self.markets[name].account_status(1.0))["ready"]:
                        break
        kill.back_ms = (time.monotonic_ns() - began) / 1e6
        return kill

    async def _killed(self, address: str, prefix: str) -> Kill:
        row = await self._row(address, prefix)
        if row is None or row["pid"] is None:
            raise RetryLater(1.0, f"{address} has no process")
        self.say(f"killing {row['address']}")
        os.kill(row["pid"], signal.SIGKILL)
        return Kill(row["address"], row["pid"])

    async def _row(self, address: str, prefix: str) -> dict[str, Any] | None:
        """Return the actor at an address; an actor of several books has another address that begins with `prefix`."""
        rows: list[dict[str, Any]] = (await self.mesh.status())["children"]
        exact = [row for row in rows if row["address"] == address]
        return next(iter([*exact, *(row for row in rows if row["address"].startswith(prefix))]), None)

    async def _compared(self, name: str, market: AsyncMarket, handed_out: Sequence[str]) -> dict[str, Any]:
        """Compare an account with its exchange's ledger, until they agree or the last reports must have come."""
        deadline = time.monotonic() + LEDGER_S
        while True:
            orders = [one for one in await all_rows(lambda after: market.orders(after=after)) if not one.external]
            fills = await all_rows(lambda after: market.fills(after=after))
            events, balances = await all_events(market), await market.balances()
            ledger = self.venues[name].ledger
            assert ledger is not None
            problems = await asyncio.to_thread(ledger.problems, orders, fills, events, balances, handed_out)
            if not problems or time.monotonic() > deadline:
                counted = dict(Counter(one.status.value for one in orders))
                return {"orders": counted, "fills": len(fills), "events": len(events), "problems": problems}
            await asyncio.sleep(0.2)


def _show(console: Console, summary: VenuesSummary) -> None:
    grid = Grid((Column("account"), Column("orders", right=True), Column("fills", right=True), Column("by status")))
    for name, row in summary.accounts.items():
        statuses = ", ".join(f"{count} {status}" for status, count in sorted(row["orders"].items()))
        grid.add(f"{name}/{ACCOUNT}", str(sum(row["orders"].values())), str(row["fills"]), statuses)
    console.print(grid)
    for kill in summary.kills:
        back = "no successor" if kill["back_ms"] is None else f"back after {kill['back_ms']:.0f} ms"
        console.print(f"killed {kill['address']} (process {kill['pid']}): {back}")
    done = ", ".join(f"{count} {what}" for what, count in sorted(summary.arbitrage.items()))
    console.print(f"arbitrage: {done}")
    console.print(f"all exchanges served and reconciled {summary.start_s:.0f} s after the exchanges had started")
    for problem in summary.problems:
        console.print(problem, markup=False)
    console.print("every account equals its exchange's ledger" if summary.ok else "NOT EQUAL", markup=False)

"""Starts a local exchange, hosts and samplers, waits for conditions, and passes their records to the checker."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.fakes.exchange_process import ExchangeProcess
from tests.truth.checker import Trade, Verdict, check
from tests.truth.child import Child, until
from tests.truth.history import History
from venuemesh.actors.book.settings import BookSettings
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.model.events import BookState
from venuemesh.model.instrument import Instrument
from venuemesh.model.plain import to_plain
from venuemesh.orderbook.snapshot import BookSnapshot
from venuemesh.orderbook.view import BookView

SCALE = 8
SIDES = {"bid": 0, "ask": 1}


def raw(text: str) -> int:
    """A decimal text as an integer at scale 8."""
    whole, _, part = text.partition(".")
    return int(whole) * 10**SCALE + int(part.ljust(SCALE, "0"))


def rows(levels: list[list[str]]) -> list[tuple[int, int]]:
    return [(raw(price), raw(size)) for price, size in levels]


class Lab:
    """One local exchange's books under observation: hosts write them, samplers read them, `judge` compares."""

    def __init__(self, exchange: ExchangeProcess, directory: Path, segments: Path, pairs: list[str]) -> None:
        self.exchange, self.admin = exchange, exchange.admin
        self.directory, self.segments = directory, segments
        self.segments.mkdir(mode=0o700, parents=True, exist_ok=True)
        listed = {found.name: found for found in listing(exchange)}
        self.instruments = [listed[pair] for pair in pairs]
        self.symbols = [found.symbol for found in self.instruments]
        self.views = [BookView(segments, found, f"book/binance/{found.name}") for found in self.instruments]
        self.admin.forgive()  # the exchange counts by address: what others used is not ours
        self.base = {symbol: self.admin.book(symbol) for symbol in self.symbols}
        self.children: list[Child] = []
        self.samplers: list[Child] = []
        self.logs: list[Path] = []
        self.samples: list[Path] = []
        self.host_: Child | None = None
        self._faults: dict[int, int] = {}  # id of a rule, how often it must happen

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self.children:
            child.kill()
        for path in self.segments.iterdir():
            path.unlink()
        self.segments.rmdir()
        self.admin.clear_faults()
        self.admin.resume()

    # Who takes part

    def host(self, counter: int = 1, alone: bool = False, options: Any = None, book: Any = None, **asked: Any) -> Child:
        """Start a host: one role for all pairs, or with `alone` one role for each.

        `options` are the connector's, `book` fields of `BookSettings` by name.
        """
        connector = ConnectorSettings("binance", rest=self.exchange.rest, ws=self.exchange.ws, options=options or {})
        groups = [[found] for found in self.instruments] if alone else [self.instruments]
        roles = [
            (
                f"book/binance/{group[0].name if alone else 'group-1'}",
                to_plain(BookSettings(connector, tuple(group), **(book or {}))),
            )
            for group in groups
        ]
        log = self.directory / f"host-{len(self.logs)}"
        self.logs.append(log)
        child = Child(
            "tests.truth.host",
            {"segments": str(self.segments), "log": str(log), "roles": roles, "incarnation": [1, counter], **asked},
        )
        self.children.append(child)
        self.host_ = child
        return child

    def sampler(self, depth_every_ms: int = 15) -> Child:
        out = self.directory / f"samples-{len(self.samples)}"
        self.samples.append(out)
        child = Child(
            "tests.truth.sampler",
            {
                "segments": str(self.segments),
                "out": str(out),
                "depth_every_ms": depth_every_ms,
                "instruments": [found.to_dict() for found in self.instruments],
            },
        )
        self.children.append(child)
        self.samplers.append(child)
        return child

    # Conditions

    def states(self) -> str:
        text = ", ".join(f"{view.instrument.name} {view.state.name} {view.peek().sequence}" for view in self.views)
        if self.host_ is not None and (ended := self.host_.ended) is not None:
            text += f"; the host ended with {ended}"
        elif self.host_ is not None and self.host_.state != "T":
            text += f"; {self.host_.ask('stats')}"
        return text

    def live(self) -> bool:
        return all(view.state is BookState.LIVE for view in self.views)

    def wait_live(self) -> None:
        until("every book is LIVE", self.live, also=self.states)

    def wait_progress(self, updates: int = 3, views: list[BookView] | None = None) -> None:
        """Wait until every book (or each of `views`) was seen LIVE at this many sequences."""
        views = self.views if views is None else views
        seen: list[set[int]] = [set() for _ in views]

        def probe() -> bool:
            for view, sequences in zip(views, seen, strict=True):
                top = view.peek()
                if top.live:
                    sequences.add(top.sequence)
            return all(len(sequences) >= updates for sequences in seen)

        until(f"{updates} updates of every book while LIVE", probe, also=self.states)

    def fault(self, times: int = 0, **rule: Any) -> None:
        """Set a fault; `wait_faults` returns when every fault set so far has happened at least `times` times."""
        self._faults[self.admin.fault(**rule)["id"]] = times

    def wait_faults(self) -> None:
        def probe() -> bool:
            done = {rule["id"]: rule["done"] for rule in self.admin.faults()["faults"]}
            return all(done[number] >= times for number, times in self._faults.items())

        until("every fault happened often enough", probe, also=lambda: f"{self.admin.faults()}; {self.states()}")

    def wait_counted(self, host: Child, *names: str) -> None:
        """Wait until each of these counters of the role is above zero, over all its books."""

        def probe() -> bool:
            pairs = host.ask("stats")["pairs"].values()
            return all(sum(found[name] for found in pairs) > 0 for name in names)

        until(f"{names} are above zero", probe, also=self.states)

    def rest(self) -> None:
        """End the faults, let every book recover in traffic, then bring exchange and books to rest."""
        self.admin.clear_faults()
        self._faults.clear()
        passed = {symbol: self.admin.book(symbol)["update_id"] for symbol in self.symbols}

        def probe() -> bool:
            tops = [view.peek() for view in self.views]
            return all(top.live and top.sequence > passed[s] for top, s in zip(tops, self.symbols, strict=True))

        until("every book is LIVE and past the faults", probe, also=self.states)
        self.wait_progress()
        for sampler in self.samplers:
            until("the sampler saw it too", lambda s=sampler: min(s.ask("seen")) >= 5)  # type: ignore[misc]
        final = self.admin.pause(wait_s=5.0)["update_ids"]

        def at_rest() -> bool:
            tops = [view.peek() for view in self.views]
            return all(top.live and top.sequence == final[s] for top, s in zip(tops, self.symbols, strict=True))

        until(f"every book is at rest at {final}", at_rest, also=self.states)

    def same(self, host: Child, levels: int = 200, least: int = 20) -> None:
        """Check that at rest the role's whole book and the segment's part of it equal the exchange's, level by level.

        `levels` is how many of a side the segment holds, `least` how many of them must be proven.
        """
        books, snapshots = until("no book is refreshed between two reads", lambda: self._held(host))
        for found, seen in zip(self.instruments, snapshots, strict=True):
            theirs, ours = self.admin.book(found.symbol), books[found.name]
            assert ours["state"] == "LIVE"
            assert ours["sequence"] == seen.sequence == theirs["update_id"], found.name
            units = 10 ** (SCALE - found.price_scale), 10 ** (SCALE - found.size_scale)
            for side, in_segment, complete in (
                ("bids", seen.bids, seen.bids_complete),
                ("asks", seen.asks, seen.asks_complete),
            ):
                right = rows(theirs[side])
                proven = ours[f"proven_{side}"]
                held = [(price * units[0], size * units[1]) for price, size in ours[side]]
                if ours[f"{side}_complete"]:
                    assert held == right, f"{found.name} {side}"
                else:
                    assert proven >= min(least, len(right)), f"{found.name} {side}"
                    assert held[:proven] == right[:proven], f"{found.name} {side}"
                    # What is held beyond the proven part may lack levels, but has none that is wrong.
                    assert set(held[proven:]) <= set(right), f"{found.name} {side}"
                shown = [(price * units[0], size * units[1]) for price, size in in_segment.tolist()]
                assert len(shown) == min(proven, levels), f"{found.name} {side}"
                assert shown == (right if complete else right[: len(shown)]), f"{found.name} {side}"

    def _held(self, host: Child) -> tuple[dict[str, Any], list[BookSnapshot]] | None:
        """Return the role's books and the segments' part of them; None when a newer snapshot came in between."""
        books: dict[str, Any] = host.ask("books")
        snapshots = [view.snapshot() for view in self.views]
        return (books, snapshots) if host.ask("books") == books else None

    # Judgement

    def histories(self) -> dict[str, History]:
        """Return the exchange's own history since this lab was made. Fails if the exchange has forgotten a part."""
        found = {}
        for symbol, base in self.base.items():
            changes, since, more = [], base["update_id"], True
            while more:
                page = self.admin.history(symbol, since=since)
                assert page["complete"], f"the exchange forgot changes of {symbol}"
                changes += [(n, SIDES[side], raw(price), raw(size)) for n, _, side, price, size in page["updates"]]
                more = page["more"]
                since = changes[-1][0] if changes else since
            found[symbol] = History(base["update_id"], rows(base["bids"]), rows(base["asks"]), changes)
        return found

    def judge(self, *samplers: Child) -> Verdict:
        """End the samplers and compare their answers with the exchange's history and the hosts' logs."""
        for sampler in samplers:
            sampler.close()
            assert sampler.wait() == 0
        if self.host_ is not None and self.host_.ended is None:
            self.host_.ask("stats")  # it hands its log over before it answers
        return check(self.samples, self.logs, self.symbols, self.histories(), self._trades())

    def _trades(self) -> dict[str, dict[int, Trade]]:
        return {
            symbol: {
                trade["id"]: (raw(trade["price"]), raw(trade["size"]), "sell" if trade["buyer_is_maker"] else "buy")
                for trade in self.admin.trades(symbol)["trades"]
            }
            for symbol in self.symbols
        }


def listing(exchange: ExchangeProcess) -> list[Instrument]:
    """Return the exchange's list, read by the codec."""
    codec = CONNECTOR.codec(exchange.rest, exchange.ws)
    with urllib.request.urlopen(codec.instruments_request().url, timeout=10.0) as answer:
        return codec.instruments(answer.read())

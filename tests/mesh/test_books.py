"""A mesh against the local exchange: after any of its processes is killed or stopped, the books are LIVE again."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from harness import PATIENCE_S, Tree, kill, until

from tests.fakes.exchange_process import ExchangeProcess
from venuemesh.actors.cell.pulse import is_alive, process_start
from venuemesh.model.errors import NotSynced
from venuemesh.model.events import BookState
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.view import BookView

pytestmark = pytest.mark.ray
PAIRS = ["BTC-USDT", "ETH-USDT"]
Start = Callable[..., Tree]


@pytest.fixture(scope="module")
def exchange() -> Iterator[ExchangeProcess]:
    with ExchangeProcess("--seed", "7", "--rate", "200", "--symbols", "BTCUSDT,ETHUSDT,+6") as process:
        yield process


@pytest.fixture
def start(grow: Callable[..., Tree], exchange: ExchangeProcess) -> Start:
    return starter(grow, exchange)


@pytest.fixture(scope="module")
def shared(grow_shared: Callable[..., Tree], exchange: ExchangeProcess) -> Tree:
    """A mesh that each test breaks and leaves complete."""
    return starter(grow_shared, exchange)()


def starter(grow: Callable[..., Tree], exchange: ExchangeProcess) -> Start:
    def begin(pairs: list[str] = PAIRS, hang_limit_s: float = 2.0, **settings: Any) -> Tree:
        binance = {"connector": "binance", "rest": exchange.rest, "ws": exchange.ws, "pairs": pairs, **settings}
        return grow(exchanges={"binance": binance}, hang_limit_s=hang_limit_s, watcher_limit_s=4.0)

    return begin


def view(tree: Tree, pair: str) -> BookView:
    address = f"book/binance/{pair}"
    routes = until(
        f"a route to {address}",
        lambda: (r := ray.get(tree.supervisor.routes.remote())["routes"]).get(address) and r,
    )
    return BookView(tree.node_directory(), Instrument.from_dict(routes[address]["instrument"]), address)


def live(book: BookView) -> BookView:
    until(f"{book.address} is LIVE", lambda: book.state is BookState.LIVE)
    return book


def segments(tree: Tree) -> list[str]:
    return sorted(path.name for path in tree.node_directory().iterdir() if "@" in path.name)


def test_books_are_served_and_known(shared: Tree) -> None:
    tree = shared
    books = [live(view(tree, pair)) for pair in PAIRS]
    status = tree.whole(children=5)
    assert [c["address"] for c in status["children"] if c["group"] == "binance"] == [
        "book/binance/BTC-USDT",
        "book/binance/ETH-USDT",
        "catalog/binance",
        "limits/binance/default",
    ]
    assert status["unread"] == []
    assert status["refused"] == {}
    for child in status["children"]:
        assert child["rss"] > 0
        title = Path(f"/proc/{child['pid']}/cmdline").read_bytes().rstrip(b"\0").decode()
        assert title.startswith(f"venuemesh: {child['address']}")
    assert books[0].top().best_bid is not None
    assert len(segments(tree)) == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("victim", ["book/binance/BTC-USDT", "limits/", "catalog/", "agent/", "supervisor", "spare"])
def test_books_are_live_again_after_any_process_was_hurt(shared: Tree, victim: str, number: signal.Signals) -> None:
    tree = shared
    tree.whole(children=5)
    books = {pair: live(view(tree, pair)) for pair in PAIRS}
    status = tree.whole(children=5)
    other = books["ETH-USDT"].incarnation
    if victim == "supervisor":
        pid = status["pid"]
    elif victim == "spare":
        pid = next(cell["pid"] for cell in status["cells"] if cell["state"] == "spare")
    else:
        pid = next(c["pid"] for c in status["children"] if c["address"].startswith(victim))
    process = (pid, process_start(pid) or 0)
    kill(pid, number)
    until("the process is gone", lambda: not is_alive(*process))
    tree.whole(children=5)
    for book in books.values():
        live(book)
    if victim != "book/binance/BTC-USDT":
        assert books["BTC-USDT"].incarnation is not None
    assert books["ETH-USDT"].incarnation == other
    until("only two segments are left", lambda: len(segments(tree)) == 2)


class Watch:
    """Looks at a book every millisecond, with a view that lives and with a new one, until the block ends.

    `lost` counts the looks that were not LIVE, without DEAD: on a machine that is late a heartbeat is late.
    """

    def __init__(self, tree: Tree, pair: str) -> None:
        self._held, self._pair, self._tree = view(tree, pair), pair, tree
        self.looks, self.lost = 0, Counter[str]()
        self.incarnations: set[tuple[int, int]] = set()
        self.trades: list[int] = []
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._look, self._follow)]

    def _look(self) -> None:
        held = self._held
        while not self._ends.is_set():
            for book in (held, BookView(held.directory, held.instrument, held.address)):
                top = book.peek()
                self.looks += 1
                if top.live and top.incarnation is not None:
                    self.incarnations.add(top.incarnation)
                elif top.state is not BookState.DEAD:
                    self.lost[top.state.name] += 1
            time.sleep(0.001)

    def _follow(self) -> None:
        for trade in BookView(self._held.directory, self._held.instrument, self._held.address).trades():
            self.trades.append(trade.trade_id)
            if self._ends.is_set():
                break

    def __enter__(self) -> Watch:
        for thread in self._threads:
            thread.start()
        until("trades come", lambda: self.trades)
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join(30.0)


def test_readers_see_no_gap_when_books_are_restarted(shared: Tree) -> None:
    tree = shared
    books = {pair: live(view(tree, pair)) for pair in PAIRS}
    before = tree.whole(children=5)
    started = {child["pid"]: process_start(child["pid"]) or 0 for child in before["children"]}
    with Watch(tree, PAIRS[0]) as watch:
        done = ray.get(tree.supervisor.restart.remote("book/*", "without a gap"), timeout=PATIENCE_S)
        assert done == [f"book/binance/{pair}" for pair in PAIRS]
        for pair, book in books.items():
            child = next(c for c in before["children"] if c["address"] == f"book/binance/{pair}")
            after = tree.succeeded(child["address"], child)
            assert after["restarts"] == child["restarts"] + 1
            until("the old process is gone", lambda pid=child["pid"]: not is_alive(pid, started[pid]))
            live(book)
        until("only two segments are left", lambda: len(segments(tree)) == 2)
        seen = len(watch.trades)
        until("trades come from the successor", lambda: len(watch.trades) > seen + 3)
    assert not watch.lost, (watch.lost, watch.looks)
    assert len(watch.incarnations) == 2
    assert watch.trades == list(range(watch.trades[0], watch.trades[0] + len(watch.trades)))


def test_a_restart_continues_under_the_next_supervisor(shared: Tree) -> None:
    """It is killed while two processes of one book run: one is left, and readers see no gap."""
    tree, address = shared, f"book/binance/{PAIRS[0]}"
    live(view(tree, PAIRS[0]))
    status = tree.whole(children=5)
    child = next(c for c in status["children"] if c["address"] == address)
    process = (child["pid"], process_start(child["pid"]) or 0)
    with Watch(tree, PAIRS[0]) as watch:
        tree.supervisor.restart.remote(address, "cut short")
        until("two segments of the book", lambda: sum(PAIRS[0] in name for name in segments(tree)) == 2)
        kill(status["pid"])
        until("the next supervisor", lambda: tree.status()["epoch"] > status["epoch"])
        tree.succeeded(address, child)
        until("the old process is gone", lambda: not is_alive(*process))
        until("one segment of the book", lambda: sum(PAIRS[0] in name for name in segments(tree)) == 1)
    assert not watch.lost, (watch.lost, watch.looks)
    tree.whole(children=5)


def test_a_writer_that_is_stopped_is_never_read_as_live(start: Start) -> None:
    tree = start(pairs=PAIRS[:1], hang_limit_s=5.0)
    book = live(view(tree, PAIRS[0]))
    pid = tree.child("book/binance/BTC-USDT")["pid"]
    kill(pid, signal.SIGSTOP)
    until("it is DEAD to its readers", lambda: book.state is BookState.DEAD)
    with pytest.raises(NotSynced):
        book.top()
    kill(pid, signal.SIGCONT)
    live(book)
    assert tree.child("book/binance/BTC-USDT")["pid"] == pid


def test_pairs_are_tracked_and_untracked_while_others_run(start: Start) -> None:
    tree = start(pairs=["BTC-USDT", "NONE-SUCH"])
    book = live(view(tree, "BTC-USDT"))
    incarnation = book.incarnation
    until("the refusal", lambda: "book/binance/NONE-SUCH" in tree.status()["refused"])
    assert tree.child("book/binance/NONE-SUCH")["state"] == "REFUSED"
    ray.get(tree.supervisor.track.remote("binance", ["ETH-*"]))
    other = live(view(tree, "ETH-USDT"))
    ray.get(tree.supervisor.untrack.remote("binance", ["ETH-USDT"]))
    until("it is gone", lambda: other.state in (BookState.RETIRED, BookState.ABSENT, BookState.DEAD))
    until("its route is gone", lambda: ray.get(tree.supervisor.resolve.remote("book/binance/ETH-USDT")) is None)
    assert live(book).incarnation == incarnation
    before = tree.status()["epoch"]
    kill(tree.status()["pid"])  # the next supervisor still knows
    until("a new supervisor", lambda: tree.status()["epoch"] > before)
    until("instruments are read", lambda: not tree.status()["unread"])
    names = {c["address"] for c in tree.whole()["children"]}
    assert "book/binance/ETH-USDT" not in names
    assert "book/binance/BTC-USDT" in names
    assert live(book).incarnation == incarnation


def test_several_pairs_share_an_actor_and_are_routed_one_by_one(start: Start) -> None:
    tree = start(pairs=["*"], pairs_per_actor=3)
    books = [live(view(tree, pair)) for pair in PAIRS]
    tree.whole(children=6)  # limits, catalog, an agent, three groups
    routes = ray.get(tree.supervisor.routes.remote())["routes"]
    pairs = [address for address in routes if address.startswith("book/") and "group-" not in address]
    assert len(pairs) == 8
    children = {routes[address]["child"] for address in pairs}
    assert children == {f"book/binance/group-{n}" for n in (1, 2, 3)}
    one = routes["book/binance/BTC-USDT"]["child"]
    ray.get(tree.supervisor.untrack.remote("binance", ["BTC-USDT"]))
    until("its route is gone", lambda: ray.get(tree.supervisor.resolve.remote("book/binance/BTC-USDT")) is None)
    until("its segment is gone", lambda: not any("BTC-USDT" in name for name in segments(tree)))
    assert ray.get(tree.supervisor.resolve.remote(one))["incarnation"] == routes[one]["incarnation"]
    assert books[1].state is BookState.LIVE


def test_shutdown_leaves_nothing(start: Start, ray_cluster: Path) -> None:
    tree = start()
    book = live(view(tree, "BTC-USDT"))
    tree.whole(children=5)
    assert ray.get(tree.supervisor.shutdown.remote(20.0))
    assert book.state in (BookState.RETIRED, BookState.ABSENT)
    assert not (ray_cluster / tree.mesh).exists()
    assert all(
        pid == os.getpid() or not is_alive(pid, start) or pid == tree.status()["pid"] for pid, start in tree.processes
    )

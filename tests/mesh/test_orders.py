"""Strategies trade over Ray while processes are killed or stopped; the account ends equal to the exchange's ledger."""

from __future__ import annotations

import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import ray
from harness import Tree, kill, leftovers, until, wait_still
from orders_strategy import ADDRESS, EXCHANGE, FAST_S, PAIR, STREAM, Scene, account_config, open_account

from tests.fakes.exchange_process import ExchangeProcess
from tests.fakes.planted import plant
from tests.fakes.settings import MANY_ORDERS, QUICK
from venuemesh.actors.cell.pulse import is_alive, process_start
from venuemesh.mesh import mesh as client
from venuemesh.mesh.session import leave
from venuemesh.model.errors import JournalUnavailable, Paused
from venuemesh.model.events import BookState

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
HANG_S = 2.0  # the machine may be busy: a process that is only late must not be killed
FUNDS = {"BTC": "20", "USDT": "1000000", "ETH": "3"}


@pytest.fixture(scope="module")
def exchange() -> Iterator[ExchangeProcess]:
    with ExchangeProcess(
        "--seed", "11", "--rate", "120", "--levels", "100", "--symbols", "BTCUSDT,ETHUSDT", without_limits=True
    ) as process:
        process.admin.limits(orders_10s=10**9, orders_1d=10**9)
        yield process


@pytest.fixture(scope="module")
def scene(
    grow_shared: Callable[..., Tree], exchange: ExchangeProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """A mesh that each test breaks and leaves complete and at rest, with nothing open."""
    folder = tmp_path_factory.mktemp("account")
    key = plant()
    open_account(exchange, "main", key, **FUNDS)
    tree = grow_shared(**config(exchange, folder, account_config(folder, key)))
    scene = Scene(tree, exchange, folder / "journal.sqlite3")
    scene.ready()
    scene.strategies = [scene.strategy("one"), scene.strategy("two")]
    ray.get([strategy.follow.remote() for strategy in scene.strategies])
    yield scene
    for strategy in scene.strategies:
        ray.kill(strategy)
    leave(tree.mesh)


def config(exchange: ExchangeProcess, folder: Path, account: dict[str, object], **more: object) -> dict[str, object]:
    places = {"rest": exchange.rest, "ws": exchange.ws, "ws_api": exchange.ws_api}
    binance = {**places, "connector": "binance", "accounts": {"main": account}, "pairs": ["BTC-USDT"], **more}
    return {
        "exchanges": {EXCHANGE: binance},
        "journal": {"url": f"sqlite:///{folder / 'journal.sqlite3'}"},
        "hang_limit_s": HANG_S,
        "watcher_limit_s": 2 * HANG_S,
        "account_limits": MANY_ORDERS,
        **QUICK,
    }


def process_of(scene: Scene, address: str) -> tuple[int, int]:
    pid = scene.tree.child(address)["pid"]
    return pid, process_start(pid) or 0


# ---------------------------------------------------------------------- deaths while orders are placed


def test_a_killed_manager_loses_and_doubles_nothing(scene: Scene) -> None:
    """It also becomes ready while the strategies use up the limit."""
    with scene.trading(FAST_S):
        for _ in range(3):
            before = scene.tree.child(ADDRESS)
            time.sleep(random.uniform(0.0, 0.2))  # somewhere in the middle of what it does
            kill(before["pid"])
            scene.tree.succeeded(ADDRESS, before)
            scene.ready()
            scene.more_orders(6)
    assert all(one["kinds"].get("completed") for one in scene.seen())


def test_a_killed_user_stream_loses_no_fill(scene: Scene) -> None:
    with scene.trading():
        for _ in range(2):
            before = scene.tree.child(STREAM)
            kill(before["pid"])
            scene.more_orders(6)  # they fill while no process listens
            scene.tree.succeeded(STREAM, before)
    assert all(one["kinds"].get("filled") for one in scene.seen())


def test_the_supervisor_and_then_the_manager_may_die(scene: Scene) -> None:
    with scene.trading():
        status, before = scene.tree.status(), scene.tree.child(ADDRESS)
        kill(status["pid"])
        scene.more_orders(3)  # this needs no supervisor
        kill(before["pid"])
        until("a new supervisor", lambda: scene.tree.status()["pid"] != status["pid"])
        scene.tree.succeeded(ADDRESS, before)
        scene.ready()


def test_a_hung_manager_is_killed_before_its_successor_serves(scene: Scene) -> None:
    with scene.trading():
        before, process = scene.tree.child(ADDRESS), process_of(scene, ADDRESS)
        kill(process[0], signal.SIGSTOP)
        scene.tree.succeeded(ADDRESS, before)
        assert not is_alive(*process)
        scene.ready()


def test_a_manager_that_wakes_too_late_does_nothing(scene: Scene) -> None:
    """The processes that would kill the manager are stopped, too: it must end itself."""
    with scene.trading():
        status, before, process = scene.tree.status(), scene.tree.child(ADDRESS), process_of(scene, ADDRESS)
        agent = next(child for child in status["children"] if child["address"].startswith("agent/"))
        others = agent["pid"], status["pid"]
        for pid in (*others, process[0]):
            kill(pid, signal.SIGSTOP)
        wait_still(scene.tree, process[0], HANG_S + 0.3)  # past its lease
        kill(process[0], signal.SIGCONT)
        assert not leftovers([process])
        for pid in others:
            kill(pid, signal.SIGCONT)
        scene.tree.succeeded(ADDRESS, before)
        scene.ready()


# ---------------------------------------------------------------------- owners, cursors, pauses


def test_the_orders_of_a_dead_owner_are_cancelled_if_it_declared_so(scene: Scene) -> None:
    cautious, calm = scene.strategy("cautious", "cancel"), scene.strategy("calm")
    mine, theirs = ray.get([cautious.rest.remote(3, "40000"), calm.rest.remote(2, "40000")])
    scene.more += mine + theirs
    for strategy in (cautious, calm):
        ray.kill(strategy)
    open_now = scene.market().in_flight_orders
    until("its orders are cancelled", lambda: not set(mine) & set(scene.patient(open_now)))
    assert set(theirs) <= set(scene.patient(open_now))
    assert {scene.market().get_order(one).status.value for one in mine} == {"CANCELED"}
    scene.agrees()


def test_a_cursor_continues_where_a_dead_strategy_stopped(scene: Scene) -> None:
    scene.more += few(scene, 8)
    first, second = scene.strategy("reader"), scene.strategy("reader")
    seen = ray.get(first.handle_events.remote("ledger-of-reader", 4))
    before = scene.tree.child(ADDRESS)
    ray.kill(first)
    kill(before["pid"])
    scene.tree.succeeded(ADDRESS, before)
    later = ray.get(second.handle_events.remote("ledger-of-reader", 4))
    ray.kill(second)
    assert seen == [1, 2, 3, 4]
    assert later[0] <= seen[-1] + 1, "skipped"
    assert later == list(range(later[0], later[0] + 4))
    assert later[-1] > seen[-1]
    scene.agrees()


def few(scene: Scene, count: int) -> list[str]:
    placed = [scene.market().place("buy", PAIR, "0.001", price="40000") for _ in range(count)]
    return [order.client_order_id for order in placed]


def test_a_pause_outlives_the_manager(scene: Scene) -> None:
    mesh = client.Mesh(scene.tree.mesh)
    resting = few(scene, 1)
    scene.more += resting
    assert mesh.pause(EXCHANGE, reason="a look at it") == [ADDRESS]
    before = scene.tree.child(ADDRESS)
    kill(before["pid"])
    scene.tree.succeeded(ADDRESS, before)
    scene.ready()
    error = scene.refused()
    assert scene.market().cancel_and_wait(resting[0]).done
    mesh.resume(EXCHANGE)
    assert isinstance(error, Paused), error
    assert error.reason == "a look at it"
    scene.more += few(scene, 1)
    scene.agrees()


def test_two_strategies_cannot_spend_one_balance_twice(scene: Scene) -> None:
    asked = [strategy.sell_all.remote(8, "0.5", "9000", "ETH-USDT") for strategy in scene.strategies]
    answers = [answer for one in ray.get(asked) for answer in one]
    accepted = [status for status, _ in answers if status == "OPEN"]
    refused = [why for status, why in answers if status != "OPEN"]
    assert len(accepted) * Decimal("0.5") == Decimal(FUNDS["ETH"])
    assert len(refused) == 10
    assert all("ETH; 0" in why for why in refused), refused
    assert scene.market().available("ETH") == 0
    locked = scene.exchange.admin.ledger("main")["accounts"][0]["balances"]["ETH"]["locked"]
    assert Decimal(locked) == Decimal(FUNDS["ETH"])
    scene.agrees()


# ---------------------------------------------------------------------- another mesh, and no journal


def test_another_mesh_takes_over_what_this_one_tracks(
    scene: Scene, grow: Callable[..., Tree], exchange: ExchangeProcess, tmp_path: Path
) -> None:
    key = plant("ed25519")
    exchange.admin.add_key("main", key.api_key, public_key=key.public_pem)
    other = grow(**config(exchange, tmp_path, account_config(tmp_path, key, orders="websocket"), pairs=[]))
    listed = scene.exchange.admin.ledger("main")["accounts"][0]["orders"]
    ended = {order["client_order_id"] for order in listed if order["status"] not in ("NEW", "PARTIALLY_FILLED")}
    resting = few(scene, 3)
    scene.more += resting
    states = scene.market().tracking_states()
    assert set(states) == set(resting)
    there = client.Mesh(other.mesh).market(EXCHANGE, "main", owner="test")
    there.wait_trading()
    assert sorted(there.restore(states)) == sorted(resting)
    assert there.restore(states) == []
    in_flight = there.in_flight_orders()
    assert {one: in_flight[one].status.value for one in resting} == dict.fromkeys(resting, "OPEN")
    # It walks the fills of the last minute, and also looks up their orders, which ended before
    looked_up = in_flight.keys() - set(resting)
    results = there.cancel_all()
    assert all(result.done for result in results)
    looked_up |= {result.client_order_id for result in results} - set(resting)
    assert looked_up <= ended
    assert {result.client_order_id for result in results} >= set(resting)
    until("this mesh has no order in flight", lambda: not scene.market().in_flight_orders())
    leave(other.mesh)
    scene.agrees()


def test_without_a_journal_no_order_is_taken_and_books_continue(scene: Scene) -> None:
    """No file of the manager's process may grow, as if the disk were full."""
    pid = scene.tree.child(ADDRESS)["pid"]
    book = scene.market().order_book(PAIR)
    full = scene.journal.with_name(scene.journal.name + "-wal").stat().st_size
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    sent = len(scene.exchange.admin.receipts("main")["receipts"])
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (min(4096, full), unlimited[1]))
    try:
        error = scene.refused()
        assert isinstance(error, JournalUnavailable), error
        assert isinstance(scene.refused(), JournalUnavailable)
        assert len(scene.exchange.admin.receipts("main")["receipts"]) == sent
        row = scene.tree.child(ADDRESS)
        assert row["state"] == "SERVING"
        assert row["pid"] == pid
        sequence = book.sequence
        until("the book continues", lambda: book.state is BookState.LIVE and book.sequence > sequence + 5)
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
    scene.ready()
    scene.more += few(scene, 1)
    scene.agrees()

"""The in-process host: messages, restarts and deaths as roles know them from their cells."""

from __future__ import annotations

import asyncio
import runpy
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import venuemesh
from venuemesh import AsyncMarket, Market
from venuemesh.actors.book.role import BookRole
from venuemesh.actors.book.settings import BookSettings
from venuemesh.actors.cell.local import Host
from venuemesh.actors.limits.role import LimitsRole
from venuemesh.actors.limits.settings import LimitsSettings
from venuemesh.cli.local_venue import local_venue
from venuemesh.conformance.trading.bench import Desk
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.connectors.spec import Limit
from venuemesh.model.errors import Misconfigured, OutcomeUnknown, Rejected, RetryLater
from venuemesh.model.instrument import Instrument

ROOT = Path(__file__).resolve().parents[3]
ADDRESS = "orders/acme/main"
BTC = Instrument("acme", "BTC-USDT", "BTCUSDT", "BTC", "USDT", 2, 5)


class Toy:
    """Says who it is, fails on request, and notes what became of its own task."""

    reads = frozenset({"who", "broken_read"})

    def __init__(self, context, ended):
        self.context, self.ended, self.beats = context, ended, 0

    async def start(self):
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self):
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append(("task", self.context.incarnation))

    async def stop(self):
        self.ended.append(("stop", self.context.incarnation))
        self._task.cancel()

    async def handle(self, kind, body):
        match kind:
            case "who":
                return {"incarnation": list(self.context.incarnation), "restarts": self.context.restarts, "body": body}
            case "ask":
                return await self.context.ask(body["address"], "who", None, 0.2)
            case "hang":
                await asyncio.Event().wait()
            case "broken_read" | "broken":
                raise KeyError(kind)
        raise Rejected("unknown_kind", kind)

    async def poll(self, kind, body, timeout_s):
        await asyncio.sleep(0)
        return kind

    def status(self):
        return {"state": "SERVING", "error": None, "beats": self.beats}

    def beat(self):
        self.beats += 1


@pytest.fixture
def ended():
    return []


@pytest.fixture
def host(tmp_path, ended):
    with Host(tmp_path) as made:
        made.start(ADDRESS, lambda context: Toy(context, ended))
        yield made


def test_a_message_is_answered_and_a_refusal_is_typed(host):
    assert host.call(ADDRESS, "who", {"a": [1]}, 5.0) == {"incarnation": [1, 1], "restarts": 0, "body": {"a": [1]}}
    assert host.call(ADDRESS, "poll:news", None, 1.0) == "news"
    with pytest.raises(Rejected, match="nothing"):
        host.call(ADDRESS, "nothing", None, 5.0)
    with pytest.raises(RetryLater, match="nobody serves"):
        host.call("orders/acme/other", "who", None, 0.05)


def test_roles_ask_each_other(host, ended):
    host.start("limits/acme/default", lambda context: Toy(context, ended))
    answer = host.call("limits/acme/default", "ask", {"address": ADDRESS}, 5.0)
    assert answer["incarnation"] == [1, 1]


def test_a_stop_is_told_and_a_kill_is_not(host, ended):
    host.kill(ADDRESS)
    assert ended == [("task", (1, 1))]
    host.restart(ADDRESS)
    assert host.call(ADDRESS, "who", None, 5.0)["restarts"] == 1
    host.stop(ADDRESS)
    assert ("stop", (1, 2)) in ended
    assert not host.failures


def test_a_question_that_was_delivered_to_a_dead_role_has_an_unknown_outcome(host):
    answer = host.submit(ADDRESS, "hang", None, 0.6)
    host.call(ADDRESS, "who", None, 5.0)  # the other one is there by now
    host.kill(ADDRESS)
    with pytest.raises(OutcomeUnknown):
        answer.result(5.0)


def test_a_question_waits_for_the_next_incarnation(host):
    host.kill(ADDRESS)
    answer = host.submit(ADDRESS, "who", None, 5.0)
    host.restart(ADDRESS)
    assert answer.result(5.0)["incarnation"] == [1, 2]


def test_what_nobody_expected_ends_a_role_but_not_for_a_read(host):
    with pytest.raises(Rejected, match="broken_read"):
        host.call(ADDRESS, "broken_read", None, 5.0)
    assert host.call(ADDRESS, "who", None, 5.0)
    with pytest.raises(OutcomeUnknown):
        host.call(ADDRESS, "broken", None, 0.5)
    assert [address for address, _ in host.failures] == [ADDRESS, ADDRESS]
    with pytest.raises(RetryLater):
        host.call(ADDRESS, "who", None, 0.05)


def test_roles_beat(host):
    deadline = time.monotonic() + 10.0
    while not host.status(ADDRESS)["beats"]:
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
    with pytest.raises(Misconfigured):
        host.status("orders/acme/nobody")


def test_a_real_role_serves(host):
    limits, settings = {"weight": Limit(100, 60.0)}, LimitsSettings(ConnectorSettings("acme"))
    host.start("limits/acme/default", lambda context: LimitsRole(settings, context, limits=limits))
    body = {"cost": {"weight": 1}, "holder": "me", "wait_s": 1.0}
    assert host.call("limits/acme/default", "acquire", body, 5.0)["lease"]


async def test_a_market_sees_accounts_and_rules(host):
    host.track("acme", [BTC])
    market = Market(host, "acme")
    assert market.account == "main"
    assert market.trading_pairs == ["BTC-USDT"]
    assert not market.ready
    assert (await host.call_async(ADDRESS, "who", None, 5.0))["restarts"] == 0


def test_the_thread_ends(tmp_path):
    before = threading.active_count()
    with Host(tmp_path) as host:
        host.start(ADDRESS, lambda context: Toy(context, []))
    assert threading.active_count() == before


def test_the_example_that_trades_runs_here_as_on_a_mesh(monkeypatch, capsys):
    """`examples/quote_and_take.py` with a book, a stream and an order manager in one process, no Ray."""
    with local_venue("binance") as venue, Desk(CONNECTOR, venue) as desk:
        connector = ConnectorSettings("binance", rest=venue.rest, ws=venue.ws)
        settings = BookSettings(connector, (desk.instrument,), heartbeat_limit_s=5.0)
        desk.host.start("book/binance/BTC-USDT", lambda context: BookRole(settings, context))

        class Mesh:
            def market(self, exchange, account=None, *, owner="", on_death="keep"):
                return AsyncMarket(desk.host, exchange, account, owner, on_death)

        monkeypatch.setattr(venuemesh, "connect", lambda: SimpleNamespace(aio=Mesh()))
        runpy.run_path(str(ROOT / "examples" / "quote_and_take.py"), run_name="__main__")
        said = capsys.readouterr().out
        assert said.startswith("FILLED ")
        assert "cancelled: CANCELED" in said
        assert sum("cancelled" in line or "completed" in line for line in said.splitlines()) == 3
        assert not desk.host.failures

"""The mesh and the real ccxt on one account: each sees the other's orders, fills and balances as they are."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from venuemesh.cli.local_venue import local_venue
from venuemesh.conformance.trading.bench import Desk
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.model.events import Side
from venuemesh.model.order import EventType, OrderStatus

pytestmark = [pytest.mark.thirdparty, pytest.mark.timeout(900)]


class OtherClient:
    """ccxt in a separate process."""

    def __init__(self, python: Path, rest: str, api_key: str, secret: str) -> None:
        script = Path(__file__).with_name("ccxt_same_account.py")
        self._process = subprocess.Popen(
            [python, str(script), rest], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._send({"apiKey": api_key, "secret": secret}) == "ready"

    def __call__(self, *command: Any) -> Any:
        return self._send(list(command))

    def _send(self, what: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "ccxt ended"
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


@pytest.fixture(scope="module")
def shared(ccxt_python: Path) -> Iterator[tuple[Desk, OtherClient]]:
    with local_venue("binance") as venue, Desk(CONNECTOR, venue) as desk:
        key, secret = (Path(venue.account[name]).read_text().strip() for name in ("api_key_file", "secret_file"))
        assert venue.rest is not None
        other = OtherClient(ccxt_python, venue.rest, key, secret)
        try:
            yield desk, other
        finally:
            other.close()


async def test_each_sees_the_orders_of_the_other(shared: tuple[Desk, OtherClient]) -> None:
    desk, ccxt = shared
    before = await desk.last_event()
    ours = await desk.rest(Side.BUY)
    assert [row["id"] for row in ccxt("open")] == [ours.client_order_id]
    price, amount = await desk.sized(Side.BUY, 1)
    theirs = ccxt("place", "buy", float(amount), float(price), "ccxt-same-account-1")
    assert theirs["status"] == "open"

    async def seen() -> Any:
        found = [event for event in await desk.events(before) if event.type is EventType.EXTERNAL]
        return found[0] if found else None

    external = await desk.until("the other client's order to be seen", seen)
    assert external.order.exchange_order_id == theirs["exchange"]
    assert external.order.external
    assert set(await desk.market.in_flight_orders()) == {ours.client_order_id}  # seen, never adopted
    assert {row["id"] for row in ccxt("open")} == {ours.client_order_id, "ccxt-same-account-1"}

    assert ccxt("cancel", ours.client_order_id) == "canceled"
    ended = await desk.market.wait(ours.client_order_id)
    assert ended.status is OrderStatus.CANCELED
    assert ccxt("cancel", "ccxt-same-account-1") == "canceled"
    assert ccxt("open") == []


async def test_fills_and_balances_are_the_same_to_both(shared: tuple[Desk, OtherClient]) -> None:
    desk, ccxt = shared
    order = await desk.take(Side.BUY)
    assert order.status is OrderStatus.FILLED
    fills = {fill.trade_id: fill for fill in await desk.fills(order.client_order_id)}
    theirs = {trade: Decimal(size) for trade, size, of in ccxt("trades") if of == order.exchange_order_id}
    assert theirs == {trade: fill.amount for trade, fill in fills.items()}
    assert ccxt("order", order.client_order_id)["status"] == "closed"
    held = await desk.settled_balances()
    shown = {asset: (Decimal(free), Decimal(locked)) for asset, (free, locked) in ccxt("balance").items()}
    assert {asset: (one.free, one.locked) for asset, one in held.items() if one.total} == {
        asset: both for asset, both in shown.items() if any(both)
    }

"""User data streams of the Binance protocol: subscriptions by logon or signature, and their events.

Source: user-data-stream.md, web-socket-api.md (User Data Stream requests), read 2026-11-22. The manual does not state
which assets `outboundAccountPosition` names when an order changes (here base, quote and the fee's asset), nor whether
it follows the `executionReport` (here it does).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ..engine.accounts import Account, OrderList
from ..engine.market import ExecutionReport, Market
from ..faults import USER
from ..floor import Floor
from ..wire import user_data as wire
from ..wire.frames import text_frame
from . import user_events
from .client import Client
from .errors import ApiError

ACTIVE = 1_000  # subscriptions of one connection at a time
EVER = 65_535  # subscriptions of one connection in its whole life


@dataclass(frozen=True, slots=True)
class Subscription(wire.Subscription):
    """One account's events on one connection. `by_session`: from `userDataStream.subscribe`, ends with the logon."""

    connection: Client
    by_session: bool


class UserData:
    """All subscriptions to user data."""

    def __init__(self, floor: Floor, protocol: str) -> None:
        self.streams: wire.UserData[Subscription] = wire.UserData(floor.faults, floor.later)
        self._floor = floor
        self._protocol = protocol
        self._ever: dict[int, int] = {}

    # ------------------------------------------------------------------------------------------- subscriptions

    def subscribe(self, client: Client, account: Account, key: str, by_session: bool) -> int:
        """Start a subscription; return its id.

        Raises:
            ApiError: the connection is already subscribed to this account, or has too many subscriptions.
        """
        active = self.streams.on(client)
        if any(subscription.account is account for subscription in active):
            raise ApiError(-2035, "User Data Stream subscription already active.")
        if len(active) >= ACTIVE:
            raise ApiError(
                -1191, f"Too many subscriptions. Connection may create up to '{ACTIVE}' subscriptions at a time."
            )
        number = self._ever.get(client.number, 0)
        if number >= EVER:
            raise ApiError(-2042, "Maximum subscription ID reached for this connection.")
        self._ever[client.number] = number + 1
        self.streams.add(Subscription(number, client, account, key, by_session))
        return number

    def ids_on(self, client: Client) -> list[int]:
        """Return the ids of a connection's subscriptions."""
        return [subscription.number for subscription in self.streams.on(client)]

    def unsubscribe(self, client: Client, number: int | None = None) -> None:
        """End one subscription of a connection, or all.

        Raises:
            ApiError: there is no such subscription.
        """
        ended = [each for each in self.streams.on(client) if number is None or each.number == number]
        if number is not None and not ended:
            raise ApiError(-2036, "User Data Stream subscription not active.")
        self._terminate(ended)

    def log_out(self, client: Client) -> None:
        """End a connection's subscriptions by logon."""
        self._terminate([each for each in self.streams.on(client) if each.by_session])

    def expire(self, account: Account, key: str | None = None) -> int:
        """End all subscriptions to an account, or those of one key; return their number."""
        ended = self.streams.to(account, key)
        self._terminate(ended)
        return len(ended)

    def drop(self, client: Client) -> None:
        """Drop the subscriptions of a connection that has ended."""
        self.streams.drop(client)
        self._ever.pop(client.number, None)

    def _terminate(self, ended: Sequence[Subscription]) -> None:
        for subscription in ended:
            self._send([subscription], user_events.terminated(self._now()))
            self.streams.end(subscription)

    # -------------------------------------------------------------------------------------------------- events

    def report(self, market: Market, report: ExecutionReport) -> None:
        """Send one event of an order of `market`, and the balances after it."""
        listeners = self.streams.to(report.account)
        if listeners:
            self._send(listeners, user_events.execution(report, self._now()), market.symbol)
            fee = report.fill.fee_asset if report.fill is not None else None
            self.position(report.account, user_events.assets_of(market, fee), report.time_ns)

    def order_list(self, group: OrderList, kind: str, time_ns: int) -> None:
        """Send a change of an order list."""
        listeners = self.streams.to(group.account)
        if listeners:
            self._send(listeners, user_events.list_status(group, kind, self._now(), time_ns), group.symbol)

    def position(self, account: Account, assets: Iterable[str], time_ns: int) -> None:
        """Send balances, with the amounts that faults add."""
        listeners = self.streams.to(account)
        if listeners:
            wrong = self._floor.faults.misstated(self._protocol, account.name, (USER,))
            self._send(listeners, user_events.position(account, assets, wrong, time_ns, self._now()))

    def balance(self, account: Account, asset: str, delta: int, time_ns: int) -> None:
        """Send a deposit (or, negative, a withdrawal), then the balance after it."""
        listeners = self.streams.to(account)
        if listeners:
            self._send(listeners, user_events.balance(asset, delta, time_ns, self._now()))
            self.position(account, [asset], time_ns)

    def external_lock(self, account: Account, asset: str, delta: int, time_ns: int) -> None:
        """Report that another system locked `delta` (or, if negative, released it)."""
        listeners = self.streams.to(account)
        if listeners:
            self._send(listeners, user_events.external_lock(asset, delta, time_ns, self._now()))
            self.position(account, [asset], time_ns)

    def _send(self, listeners: Iterable[Subscription], event: dict[str, Any], symbol: str | None = None) -> None:
        bodies: dict[int, bytes] = {}
        for subscription in listeners:
            unit = subscription.connection.form.unit
            body = bodies.get(unit)
            if body is None:
                body = bodies[unit] = orjson.dumps(user_events.in_unit(event, unit))
            self.streams.send(subscription, event["e"], text_frame(self.framed(subscription, body)), symbol)

    def framed(self, subscription: Subscription, body: bytes) -> bytes:
        """Return the text of an event on one connection."""
        return b'{"subscriptionId":%d,"event":%b}' % (subscription.number, body)

    def _now(self) -> int:
        return self._floor.clock.now_ns()

"""User data streams: who listens to which account on which connection, and what goes to them in what order.

Theory of operation. The engine tells of each order event, and of each change of balances, from inside a call; the event
is encoded there and then, for the units of time that its listeners want, because the order lives on. It leaves on the
next turn of the loop, so that an answer written at once goes out before the events it caused; the fault
`accept_then_wait` turns that around. Events of an account leave in the order they happened, to every subscription.

Source: user-data-stream.md, web-socket-api.md (User Data Stream requests), read 2026-11-22. The manual does not say
which assets `outboundAccountPosition` names when an order changes (here base, quote and what the fee is taken in), nor
whether it follows the `executionReport` (here it does).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from ..engine.accounts import Account
from ..engine.book import OrderList
from ..engine.market import ExecutionReport, Market
from ..faults import USER, Faults
from ..websocket_frames import text_frame
from . import user_events
from .client import Client
from .errors import ApiError

ACTIVE = 1_000  # subscriptions of one connection at a time
EVER = 65_535  # and over its life


@dataclass(frozen=True, slots=True)
class Subscription:
    """One account heard on one connection. `by_session`: made by `userDataStream.subscribe`, ends with the logon."""

    number: int
    client: Client
    account: Account
    key: str
    by_session: bool


class UserData:
    """All subscriptions to user data. `later(seconds, call)` is the shell's timer."""

    def __init__(
        self, faults: Faults, now_ns: Callable[[], int], later: Callable[[float, Callable[[], None]], Any]
    ) -> None:
        self.faults = faults
        self.now_ns = now_ns
        self._later = later
        self._by_account: dict[str, dict[tuple[int, int], Subscription]] = {}
        self._by_client: dict[int, dict[int, Subscription]] = {}
        self._ever: dict[int, int] = {}
        self._out: list[tuple[Subscription, str | None, bytes]] = []
        self.sent: dict[str, int] = {}  # events by type, one for each subscription

    # ------------------------------------------------------------------------------------------- subscriptions

    def subscribe(self, client: Client, account: Account, key: str, by_session: bool) -> int:
        """Begin a subscription; return its id.

        Raises:
            ApiError: the connection hears this account already, or has too many subscriptions.
        """
        here = self._by_client.setdefault(client.number, {})
        if any(held.account is account for held in here.values()):
            raise ApiError(-2035, "User Data Stream subscription already active.")
        if len(here) >= ACTIVE:
            raise ApiError(
                -1191, f"Too many subscriptions. Connection may create up to '{ACTIVE}' subscriptions at a time."
            )
        number = self._ever.get(client.number, 0)
        if number >= EVER:
            raise ApiError(-2042, "Maximum subscription ID reached for this connection.")
        self._ever[client.number] = number + 1
        made = here[number] = Subscription(number, client, account, key, by_session)
        self._by_account.setdefault(account.name, {})[client.number, number] = made
        return number

    def of(self, client: Client) -> list[int]:
        return list(self._by_client.get(client.number, {}))

    def clients_of(self, account: Account) -> set[Client]:
        """The connections that hear an account."""
        return {held.client for held in self._by_account.get(account.name, {}).values()}

    def unsubscribe(self, client: Client, number: int | None = None) -> None:
        """End one subscription of a connection, or all.

        Raises:
            ApiError: there is no such subscription.
        """
        here = self._by_client.get(client.number, {})
        if number is not None and number not in here:
            raise ApiError(-2036, "User Data Stream subscription not active.")
        self._terminate(list(here.values()) if number is None else [here[number]])

    def log_out(self, client: Client) -> None:
        """End what a connection hears by its logon."""
        self._terminate([held for held in self._by_client.get(client.number, {}).values() if held.by_session])

    def expire(self, account: Account, key: str | None = None) -> int:
        """End all subscriptions of an account, or those made with one key; return how many."""
        found = [held for held in self._by_account.get(account.name, {}).values() if key is None or held.key == key]
        self._terminate(found)
        return len(found)

    def drop(self, client: Client) -> None:
        """Forget a connection that is gone."""
        for held in self._by_client.pop(client.number, {}).values():
            self._by_account[held.account.name].pop((client.number, held.number), None)
        self._ever.pop(client.number, None)
        self._out = [item for item in self._out if item[0].client is not client]

    def _terminate(self, ended: Iterable[Subscription]) -> None:
        for held in ended:
            self._tell([held], user_events.terminated(self.now_ns()))
            del self._by_client[held.client.number][held.number]
            del self._by_account[held.account.name][held.client.number, held.number]

    # -------------------------------------------------------------------------------------------------- events

    def report(self, market: Market, report: ExecutionReport) -> None:
        """Tell of one event of an order of `market`, and of the balances it left."""
        listeners = self._by_account.get(report.account.name)
        if listeners:
            self._tell(listeners.values(), user_events.execution(report, self.now_ns()), market.symbol)
            fee = report.fill.fee_asset if report.fill is not None else None
            self.position(report.account, user_events.assets_of(market, fee), report.time_ns)

    def order_list(self, group: OrderList, kind: str, time_ns: int) -> None:
        """Tell of a change of an order list."""
        listeners = self._by_account.get(group.account.name)
        if listeners:
            event = user_events.list_status(group, kind, self.now_ns(), time_ns)
            self._tell(listeners.values(), event, group.symbol)

    def position(self, account: Account, assets: Iterable[str], time_ns: int) -> None:
        """Tell of balances as they are."""
        listeners = self._by_account.get(account.name)
        if listeners:
            wrong = self.faults.misstated(account.name, (USER,))
            self._tell(listeners.values(), user_events.position(account, assets, wrong, time_ns, self.now_ns()))

    def balance(self, account: Account, asset: str, delta: int, time_ns: int) -> None:
        """Tell of a deposit (or, negative, a withdrawal), then of the balance it left."""
        listeners = self._by_account.get(account.name)
        if listeners:
            self._tell(listeners.values(), user_events.balance(asset, delta, time_ns, self.now_ns()))
            self.position(account, [asset], time_ns)

    def external_lock(self, account: Account, asset: str, delta: int, time_ns: int) -> None:
        """Tell that another system locked (or, negative, released) so much."""
        listeners = self._by_account.get(account.name)
        if listeners:
            self._tell(listeners.values(), user_events.external_lock(asset, delta, time_ns, self.now_ns()))
            self.position(account, [asset], time_ns)

    def _tell(self, listeners: Iterable[Subscription], event: dict[str, Any], symbol: str | None = None) -> None:
        bodies: dict[int, bytes] = {}
        for held in listeners:
            unit = held.client.form.unit
            body = bodies.get(unit)
            if body is None:
                body = bodies[unit] = orjson.dumps(user_events.in_unit(event, unit))
            frame = text_frame(b'{"subscriptionId":%d,"event":%b}' % (held.number, body))
            if not self._out:
                self._later(0.0, self.flush)
            self._out.append((held, symbol, frame))
            self.sent[event["e"]] = self.sent.get(event["e"], 0) + 1

    def flush(self) -> None:
        """Send what waits."""
        out, self._out = self._out, []
        faulty = self.faults.frames_active
        for held, symbol, frame in out:
            if faulty:
                self.faults.frame(held.client, USER, symbol, frame, held.account.name)
            else:
                held.client.write(frame)

"""The role `orders/<exchange>/<account>`: places, follows and cancels the orders of one account.

`machine` decides everything; the shell has the clocks, sockets and the journal:

    command --machine--> [commit, send, answer ...] --Performer--> journal, exchange, caller, pollers

A new incarnation takes a new epoch in the journal, which fences all older incarnations, loads the open orders and
unresolved requests, and reconciles with the exchange before it is ready. It answers no message before the load. A
request that was not journaled was never sent; a journaled request that may have been sent is queried until its outcome
is known. Commands wait for the load as long as their senders do.

    place {orders, expires_ns, list?}       -> [Order]        cancel {id} | {exchange_order_id, pair} -> CancelResult
    cancel_all {pair?, owner?, timeout_s}   -> [CancelResult] amend {id, amount?, price?} -> Order
    replace {id, order, expires_ns}         -> [Order]        get {id} -> Order
    orders {open, owner, pair, after, limit, newest, before} · fills {id?, pair?, after, limit, newest, before}
                                            -> {rows, next}; at most `limit` (5,000) rows, and where the others begin
    tracking_states · restore {states}
    balances · fees {pair} · account · timings {limit?} · key_check
    request {method, path, params, signed, id?} -> {status, body}; a request that changes something is sent once per id
    signed_read {kind, method, path, params} -> {status, headers, body, sent_ns}; for roles of the account that must not
    sign themselves
    pause {scope, reason} · resume {scope} · lease {owner, on_death, lease_s} · cursor {name, number} · cursor_of {name}
    reports {stream, first, reports}        -> {acked}        from the user stream
    poll events {after | cursor, limit, owner?} -> {events, next} · poll order {id, until} · poll lease, as lease

Ids and decimals are text. Every refusal is a typed error. `RetryLater` and its subclasses mean that nothing was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from ...connectors.order_codec import Auth, TradingCodec
from ...journal.writes import PutCursor
from ...model.errors import InboxFull, MeshError, OutcomeUnknown, Rejected, RetryLater
from ...model.events import Side
from ...model.fixed import read_exact
from ...model.ids import OrderIds
from ...model.order import CancelResult, NewOrder, Order
from ...model.time import SECOND_NS, in_ns
from ..cell.role import Context, whole_number
from ..limits.budget import RestLike
from ..limits.machine import Priority
from .bodies import new_order, order_state
from .machine.effects import Top
from .queries import Queries, needed_text, number, seconds, text
from .raw_requests import RawRequests
from .settings import Limits, OrderManagerSettings
from .shell import ManagerShell

CANCEL_SHARE = 0.8  # share of `stop_s` for cancelling
PLACE_WAIT_S = 5.0  # longest wait of an order for rate budget
MANY = 100  # most orders of one command
DEATHS = ("keep", "cancel")


class OrderManagerRole:
    """See the module. The keyword arguments replace parts built from the configuration."""

    reads = frozenset(
        {
            "orders",
            "fills",
            "tracking_states",
            "balances",
            "fees",
            "account",
            "timings",
            "cursor_of",
            "key_check",
            "signed_read",
            "events",
            "order",
        }
    )

    def __init__(
        self,
        settings: OrderManagerSettings,
        context: Context,
        *,
        rest: RestLike | None = None,
        codec: TradingCodec | None = None,
        auth: Auth | None = None,
        ids: Callable[[], str] | None = None,
    ) -> None:
        self._settings, self._context = settings, context
        make = ids or OrderIds(context.time_ns(), random.getrandbits(64))
        self._shell = ManagerShell(settings, context, make, rest, codec, auth)
        self._raw = RawRequests(self._shell)
        self._stopping = False

    async def start(self) -> None:
        await self._shell.start()

    async def stop(self) -> None:
        """End. With on_shutdown = "cancel", first cancel all orders, as many as the time allows."""
        self._stopping = True
        if self._settings.on_shutdown == "cancel" and self._shell.booted.is_set():
            timeout_s = self._settings.stop_s * CANCEL_SHARE
            with contextlib.suppress(MeshError, TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._cancel_all({"timeout_s": timeout_s})
        await self._shell.stop()

    def beat(self) -> None:
        self._shell.beat()

    def status(self) -> dict[str, Any]:
        return self._shell.status()

    async def handle(self, kind: str, body: Any) -> Any:
        handler = self._HANDLERS.get(kind)
        if handler is None:
            raise Rejected("unknown_kind", f"{self._context.address} answers no {kind!r}")
        if body is not None and not isinstance(body, dict):
            raise Rejected("bad_request", f"{kind} takes a table")
        return await handler(self, body or {})

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        shell = self._shell
        if kind == "lease":  # as a poll it does not wait behind commands that wait for the exchange
            return await self.handle(kind, body)
        if kind not in ("events", "order"):
            raise Rejected("unknown_kind", f"{self._context.address} has no poll {kind!r}")
        if body is not None and not isinstance(body, dict):
            raise Rejected("bad_request", f"{kind} takes a table")
        await shell.loaded()
        if kind == "events":
            after = await self._queries.start_of(body, shell.cursors.get)
            limit = min(5_000, whole_number(body, "limit") or 500)
            return await self._queries.events(after, limit, text(body, "owner"), timeout_s)
        until = (body or {}).get("until", "done")
        return await self._queries.order(needed_text(body, "id"), until, timeout_s, self._order)

    # ------------------------------------------------------------------ placing and cancelling

    async def _place(self, body: Any) -> Any:
        orders = _orders(body.get("orders"))
        expires_ns, kind = number(body, "expires_ns") or self._soon_ns(), text(body, "list")
        shell, ids = self._shell, [order.client_order_id for order in orders]
        shell.timings.received(ids)
        try:
            try:
                await self._prepare(orders, expires_ns)
            except RetryLater as error:
                return await self._refuse(orders, expires_ns, error)
            if kind is not None:
                return _plain(
                    await shell.command(
                        lambda token, now: shell.machine.place_list(token, kind, orders, expires_ns, now)
                    )
                )
            return _plain(await shell.command(lambda token, now: shell.machine.place(token, orders, expires_ns, now)))
        finally:
            shell.prepaid.difference_update(ids)
            shell.timings.replied(ids)

    async def _replace(self, body: Any) -> Any:
        name, shell = needed_text(body, "id"), self._shell
        (order,) = _orders([body.get("order")])
        expires_ns = number(body, "expires_ns") or self._soon_ns()
        try:
            await self._prepare([order], expires_ns)
        except RetryLater as error:
            return await self._refuse([order], expires_ns, error)
        try:
            return _plain(
                await shell.command(lambda token, now: shell.machine.replace(token, name, order, expires_ns, now))
            )
        finally:
            shell.prepaid.discard(order.client_order_id)

    async def _prepare(self, orders: Sequence[NewOrder], expires_ns: int) -> None:
        """Get the prices by which the orders are judged, and the rate budget to send them.

        Raises:
            RetryLater: no budget in time, or the account is not loaded. Nothing will be sent.
        """
        shell = self._shell
        if self._stopping:
            raise RetryLater(1.0, f"{self._context.address} is stopping")
        await shell.loaded()
        tops: dict[str, Top] = {}
        for pair in {order.pair for order in orders}:
            deep = [order for order in orders if order.pair == pair and self._needs_depth(order)]
            if deep:
                top = shell.markets.levels_here(pair)
                if top is None or any(shell.machine.exceeds_band(order, top) for order in deep):
                    top = await shell.markets.all_levels(pair) or top
            else:
                top = shell.markets.top_here(pair)
            if top is None and any(self._needs_price(order) for order in orders if order.pair == pair):
                top = await shell.markets.top(pair)
            if top is not None:
                tops[pair] = top
        shell.machine.tops(tops)
        left_s = (expires_ns - self._context.time_ns()) / SECOND_NS
        for order in orders:
            if shell.machine.order(order.client_order_id) is not None:
                continue  # a repeated command: the machine answers with the order's state
            if not shell.markets.lists(order.pair):
                continue  # the machine refuses it
            cost, order_count = shell.gateway.codec.place_cost(order)
            wait_s = max(0.0, min(PLACE_WAIT_S, left_s))
            try:
                await shell.gateway.counters.take(cost, order.pair, wait_s)
                await shell.allowance.take(cost, order_count, wait_s)
            except (InboxFull, OutcomeUnknown) as error:  # from the limits role, which granted nothing
                raise RetryLater(1.0, str(error)) from error
            shell.prepaid.add(order.client_order_id)

    async def _refuse(self, orders: Sequence[NewOrder], expires_ns: int, error: RetryLater) -> Any:
        """End orders that cannot be sent as FAILED and raise the reason."""
        shell = self._shell
        shell.prepaid.difference_update(order.client_order_id for order in orders)
        return _plain(
            await shell.command(lambda token, now: shell.machine.refuse(token, orders, expires_ns, error, now))
        )

    def _needs_depth(self, order: NewOrder) -> bool:
        """Return whether the order takes any price, and the price band bounds how far it may go."""
        is_banded = any(one.price_band is not None for one in self._limits(order.pair))
        return is_banded and order.price is None and order.stop_price is None

    def _needs_price(self, order: NewOrder) -> bool:
        limits = self._limits(order.pair)
        if any(one.price_band is not None for one in limits):
            return True
        bounded = any(one.max_order_notional is not None for one in limits)
        if order.price is not None:
            # a sell trades at the book's price, even if its own price is lower
            return bounded and order.side is Side.SELL
        return order.amount is not None or bounded

    def _limits(self, pair: str) -> tuple[Limits, Limits]:
        """Return the limits of the account and of the pair."""
        settings = self._settings.machine
        return settings.limits, settings.pair_limits.get(pair, Limits())

    async def _cancel(self, body: Any) -> Any:
        shell = self._shell
        name, pair, theirs = text(body, "id"), text(body, "pair"), text(body, "exchange_order_id")
        if name is None and (pair is None or theirs is None):
            raise Rejected("bad_request", "cancel needs an id, or a pair and an exchange_order_id")
        return _plain(
            await shell.command(
                lambda token, now: shell.machine.cancel(token, name, now, pair=pair, exchange_order_id=theirs)
            )
        )

    async def _cancel_external(self, body: Any) -> Any:
        return await self._raw.cancel_external(body)

    async def _adopt(self, body: Any) -> Any:
        """Take over orders that the journal does not know; with `show` only return them, as they would be."""
        shell, names = self._shell, body.get("ids")
        if names is not None and not (isinstance(names, list) and all(isinstance(one, str) for one in names)):
            raise Rejected("bad_request", "ids must be a list of ids")
        await shell.loaded()
        if body.get("show"):
            return _plain(shell.machine.adoptable(names))
        return _plain(await shell.command(lambda token, now: shell.machine.adopt(token, names, now)))

    async def _cancel_all(self, body: Any) -> Any:
        shell = self._shell
        pair, owner, timeout_s = text(body, "pair"), text(body, "owner"), seconds(body, "timeout_s", 10.0)
        await shell.loaded()
        await self._require_known(pair)
        return _plain(
            await shell.command(
                lambda token, now: shell.machine.cancel_all(token, now, pair=pair, owner=owner, timeout_s=timeout_s)
            )
        )

    async def _amend(self, body: Any) -> Any:
        shell, name = self._shell, needed_text(body, "id")
        amount, price = (None if body.get(key) is None else _decimal(body, key) for key in ("amount", "price"))
        if amount is None and price is None:
            raise Rejected("bad_request", "amend needs an amount or a price")
        await shell.loaded()
        order = shell.machine.order(name)
        if order is not None and (top := await self._top(order.pair, shell.markets.lists(order.pair))) is not None:
            shell.machine.tops({order.pair: top})
        return _plain(await shell.command(lambda token, now: shell.machine.amend(token, name, amount, now, price)))

    async def _top(self, pair: str, is_listed: bool) -> Top | None:
        """Return the best prices of a pair by which new terms are judged; None where no guard needs them."""
        limits = self._limits(pair)
        if not is_listed or all(one.price_band is None and one.max_order_notional is None for one in limits):
            return None
        return self._shell.markets.top_here(pair) or await self._shell.markets.top(pair)

    # ------------------------------------------------------------------ reading

    async def _order(self, client_order_id: str) -> Order:
        shell = self._shell
        found = await shell.command(lambda token, now: shell.machine.get(token, client_order_id, now))
        assert isinstance(found, Order)
        return found

    async def _get(self, body: Any) -> Any:
        return (await self._order(needed_text(body, "id"))).to_dict()

    async def _list(self, body: Any) -> Any:
        await self._shell.loaded()
        found = await self._queries.orders(body)
        if not found["rows"]:
            await self._require_known(text(body or {}, "pair"))
        return found

    async def _fills(self, body: Any) -> Any:
        await self._shell.loaded()
        found = await self._queries.fills(body)
        if not found["rows"]:
            await self._require_known(text(body or {}, "pair"))
        return found

    async def _require_known(self, pair: str | None) -> None:
        """Raises UnknownInstrument: the exchange does not list the pair, and the journal has no order of it."""
        markets = self._shell.markets
        if pair is not None and markets.are_known and not markets.lists(pair) and not await self._queries.has(pair):
            markets.instrument(pair)

    async def _tracking_states(self, body: Any) -> Any:
        await self._shell.loaded()
        own = (order for order in self._shell.view.open_orders() if not order.external)
        return {order.client_order_id: order.to_dict() for order in own}

    async def _restore(self, body: Any) -> Any:
        shell, states = self._shell, body.get("states")
        if not isinstance(states, dict):
            raise Rejected("bad_request", "states must be a table of orders by their ids")
        orders = [order_state(plain) for plain in states.values()]
        for order in orders:
            if (order.exchange, order.account) != (shell.exchange, shell.account):
                raise Rejected(
                    "bad_request",
                    f"order {order.client_order_id} belongs to account {order.account} on {order.exchange}",
                )
        return await shell.command(lambda token, now: shell.machine.restore(token, orders, now))

    async def _balances(self, body: Any) -> Any:
        shell = self._shell
        await shell.loaded()
        if not shell.machine.serving:
            raise RetryLater(0.2, "the exchange has not stated the balances yet")
        return {asset: balance.to_dict() for asset, balance in shell.machine.balances().items()}

    async def _fees(self, body: Any) -> Any:
        await self._shell.loaded()
        pair = needed_text(body, "pair")
        rates = await self._shell.markets.fees(pair)
        return {"pair": pair, "maker": f"{rates.maker:f}", "taker": f"{rates.taker:f}", "source": rates.source}

    async def _account(self, body: Any) -> Any:
        settings = self._settings.machine
        guards = {"account": _limits(settings.limits)}
        guards |= {pair: _limits(own) for pair, own in settings.pair_limits.items()}
        return {
            **self._shell.status(),
            "guards": guards,
            "incarnation": list(self._context.incarnation),
            "timings_us": self._shell.timings.summary(),
        }

    async def _timings(self, body: Any) -> Any:
        return self._shell.timings.plain(whole_number(body, "limit") or 1_000)

    async def _key_check(self, body: Any) -> Any:
        shell = self._shell
        await shell.loaded()
        account = (await shell.gateway.read(shell.gateway.codec.account(), Priority.NORMAL)).account
        if account is None:
            raise RetryLater(1.0, "the exchange did not state the account")
        balances = account.balances.balances.items()
        return {
            "key": shell.gateway.auth.key_hint,
            "can_trade": account.can_trade,
            "permissions": list(account.permissions),
            "account_id": account.account_id,
            "balances": {asset: [f"{free:f}", f"{locked:f}"] for asset, (free, locked) in balances},
            **shell.gateway.clock.status(),
        }

    # ------------------------------------------------------------------ the account

    async def _pause(self, body: Any) -> Any:
        shell, scope = self._shell, text(body, "scope") or "account"
        if scope not in ("account", "mesh", shell.exchange):
            await shell.loaded()
            shell.markets.instrument(scope)
        reason = text(body, "reason") or "asked"
        await shell.command(lambda token, now: shell.machine.pause(scope, reason, now, token))
        return None

    async def _resume(self, body: Any) -> Any:
        shell, scope = self._shell, text(body, "scope") or "account"
        if scope not in ("account", "mesh", shell.exchange, *shell.machine.pauses):
            await shell.loaded()
            await self._require_known(scope)
        await shell.command(lambda token, now: shell.machine.resume(scope, now, token))
        return None

    async def _lease(self, body: Any) -> Any:
        shell, owner, on_death = self._shell, needed_text(body, "owner"), text(body, "on_death") or "keep"
        lease_s = seconds(body, "lease_s", 10.0)
        if on_death not in DEATHS:
            raise Rejected("bad_request", f"on_death is {on_death!r}; it is one of {', '.join(DEATHS)}")
        await shell.command(lambda token, now: shell.machine.lease(owner, on_death, lease_s, now, token))
        return None

    async def _cursor(self, body: Any) -> Any:
        shell, name, at = self._shell, needed_text(body, "name"), number(body, "number")
        await shell.loaded()
        if at > shell.view.last:
            raise Rejected("bad_request", f"there is no event {at} yet")
        await shell.write([PutCursor(name, at)])
        shell.cursors[name] = max(at, shell.cursors.get(name, 0))
        return None

    async def _cursor_of(self, body: Any) -> Any:
        await self._shell.loaded()
        return self._shell.cursors.get(needed_text(body, "name"))

    async def _reports(self, body: Any) -> Any:
        return {"acked": await self._shell.receive(body)}

    async def _request(self, body: Any) -> Any:
        return await self._raw.request(body)

    async def _signed_read(self, body: Any) -> Any:
        return await self._raw.signed_read(body)

    def _soon_ns(self) -> int:
        return self._context.time_ns() + in_ns(PLACE_WAIT_S)

    @property
    def _queries(self) -> Queries:
        shell = self._shell
        return Queries(shell.exchange, shell.account, shell.view, shell.read)

    _HANDLERS: Mapping[str, Callable[[OrderManagerRole, Any], Any]] = {
        "place": _place,
        "cancel": _cancel,
        "cancel_all": _cancel_all,
        "cancel_external": _cancel_external,
        "adopt": _adopt,
        "amend": _amend,
        "replace": _replace,
        "get": _get,
        "orders": _list,
        "fills": _fills,
        "tracking_states": _tracking_states,
        "restore": _restore,
        "balances": _balances,
        "fees": _fees,
        "account": _account,
        "timings": _timings,
        "key_check": _key_check,
        "pause": _pause,
        "resume": _resume,
        "lease": _lease,
        "cursor": _cursor,
        "cursor_of": _cursor_of,
        "reports": _reports,
        "request": _request,
        "signed_read": _signed_read,
    }


def _decimal(body: Any, name: str) -> Decimal:
    """Read an exact number. Raises Rejected."""
    try:
        return read_exact(needed_text(body, name))
    except ValueError as error:
        raise Rejected("bad_request", f"{name} {error}") from None


def _orders(given: Any) -> list[NewOrder]:
    if not isinstance(given, list) or not 1 <= len(given) <= MANY:
        raise Rejected("bad_request", f"orders must be a list of 1 to {MANY}")
    return [new_order(plain) for plain in given]


def _plain(value: Any) -> Any:
    if isinstance(value, Order | CancelResult):
        return value.to_dict()
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _limits(limits: Limits) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(limits).items()}

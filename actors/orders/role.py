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
    sign themselves · market_access {renew?} -> {name: text}: proves the account to market data that
    needs one; secret
    pause {scope, reason} · resume {scope} · lease {owner, on_death, lease_s} · cursor {name, number} · cursor_of {name}
    reports {stream, first, reports}        -> {acked}        from the user stream
    poll events {after | cursor, limit, owner?} -> {events, next} · poll order {id, until} · poll lease, as lease

Ids and decimals are text. Every refusal is a typed error. `RetryLater` and its subclasses mean that nothing was sent.
Placements are served in turn, owner by owner (`placements`); a `cancel` with `pending` waits until its order arrives.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from ...connectors.order_codec import Auth, TradingCodec
from ...journal.writes import PutCursor
from ...model.errors import MeshError, Rejected, RetryLater
from ...model.fixed import read_exact
from ...model.ids import OrderIds
from ...model.order import CancelResult, Order
from ..cell.role import Context, whole_number
from ..limits.budget import RestLike
from ..limits.machine import Priority
from .bodies import order_state
from .placements import Placements
from .queries import Queries, needed_text, number, seconds, text
from .raw_requests import RawRequests
from .settings import Limits, OrderManagerSettings
from .shell import ManagerShell

CANCEL_SHARE = 0.8  # share of the time for a stop that is for cancelling
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
            "market_access",
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
        self._placements = Placements(settings, context, self._shell)

    async def start(self) -> None:
        await self._shell.start()
        self._placements.start()

    async def stop(self) -> None:
        """End. If that is final and on_shutdown = "cancel", first cancel all orders, as many as the time allows."""
        self._placements.stopping = True
        if self._context.is_final and self._settings.on_shutdown == "cancel":
            limits_s = (self._settings.stop_s, self._context.stop_s)
            timeout_s = CANCEL_SHARE * min(one for one in limits_s if one is not None)
            with contextlib.suppress(MeshError, TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._shell.booted.wait()
                    await self._cancel_all({"timeout_s": timeout_s})
        await self._shell.stop()

    def beat(self) -> None:
        self._shell.beat()

    def status(self) -> dict[str, Any]:
        return self._shell.status() | self._placements.status()

    async def handle(self, kind: str, body: Any) -> Any:
        handler = self._HANDLERS.get(kind)
        if handler is None:
            raise self._context.unknown(kind)
        if body is not None and not isinstance(body, dict):
            raise Rejected("bad_request", f"{kind} takes a table")
        return await handler(self, body or {})

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        shell = self._shell
        if kind == "lease":  # as a poll it does not wait behind commands that wait for the exchange
            return await self.handle(kind, body)
        if kind not in ("events", "order"):
            raise self._context.unknown_poll(kind)
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
        return _plain(await self._placements.place(body))

    async def _replace(self, body: Any) -> Any:
        return _plain(await self._placements.replace(body))

    async def _cancel(self, body: Any) -> Any:
        shell = self._shell
        name, pair, theirs = text(body, "id"), text(body, "pair"), text(body, "exchange_order_id")
        if name is None and (pair is None or theirs is None):
            raise Rejected("bad_request", "cancel needs an id, or a pair and an exchange_order_id")
        if name is not None:
            await self._placements.withdraw([name])
            if body.get("pending"):
                await self._placements.arrive(name)
        return _plain(
            await shell.command(
                lambda token, now: shell.machine.cancel(token, name, now, pair=pair, exchange_order_id=theirs),
                is_cancel=True,
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
        await shell.loaded(is_cancel=True)
        await self._require_known(pair)
        cancelling = shell.command(
            lambda token, now: shell.machine.cancel_all(token, now, pair=pair, owner=owner, timeout_s=timeout_s)
        )
        results, _ = await asyncio.gather(cancelling, self._placements.withdraw(self._placements.queued(pair, owner)))
        return _plain(results)

    async def _amend(self, body: Any) -> Any:
        shell, name = self._shell, needed_text(body, "id")
        amount, price = (None if body.get(key) is None else _decimal(body, key) for key in ("amount", "price"))
        if amount is None and price is None:
            raise Rejected("bad_request", "amend needs an amount or a price")
        await shell.loaded()
        await self._placements.seen(name)
        order = shell.machine.order(name)
        if (
            order is not None
            and (top := await self._placements.top(order.pair, shell.markets.lists(order.pair))) is not None
        ):
            shell.machine.tops({order.pair: top})
        return _plain(await shell.command(lambda token, now: shell.machine.amend(token, name, amount, now, price)))

    # ------------------------------------------------------------------ reading

    async def _order(self, client_order_id: str) -> Order:
        shell = self._shell
        await self._placements.seen(client_order_id)
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

    async def _market_access(self, body: Any) -> Any:
        await self._shell.loaded()
        return await self._shell.gateway.market_access(bool(body.get("renew")))

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
        "market_access": _market_access,
    }


def _decimal(body: Any, name: str) -> Decimal:
    """Read an exact number. Raises Rejected."""
    try:
        return read_exact(needed_text(body, name))
    except ValueError as error:
        raise Rejected("bad_request", f"{name} {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Order | CancelResult):
        return value.to_dict()
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _limits(limits: Limits) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(limits).items()}

"""The admin interface: loopback only, JSON. Faults, rates, books, history; docs/local-exchange.md has every endpoint.

Every body is checked before anything is done: a wrong one is answered 400 with the field named.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError

from ..model.errors import FixedPointError, Misconfigured, Rejected
from ..model.events import Side
from ..model.fixed import to_raw
from .accounts import Account, Fill
from .admin_bodies import (
    Body,
    CancelBody,
    ClockBody,
    CutBody,
    DepositBody,
    FaultBody,
    LimitsBody,
    ListBody,
    Nothing,
    OrderBody,
    PauseBody,
    RateBody,
    RulesBody,
    SkipBody,
    StatusBody,
    StepBody,
    SymbolBody,
)
from .binance.client import Client
from .binance.payloads import text
from .book import Order
from .faults import Fault
from .rules import SCALE, Rules, rules_for
from .venue import Venue

PAGE = 100_000


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, field: str | None, reason: str, status: int = 400, kind: str = "invalid") -> None:
        super().__init__(reason)
        self.status = status
        self.body = {"error": {"type": kind, "field": field, "reason": reason}}


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Admin:
    """Serves the admin interface of one venue."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 20, middlewares=[_guard])
        for path, read in (
            ("/admin/stats", self.stats),
            ("/admin/faults", self.faults),
            ("/admin/book", self.book),
            ("/admin/history", self.history),
            ("/admin/trades", self.trades),
            ("/admin/ledger", self.ledger),
            ("/admin/connections", self.connections),
            ("/admin/limits", self.limits),
        ):
            app.router.add_get(path, _reading(read))
        for path, shape, act in self._actions():
            app.router.add_post(path, _acting(shape, act))
        app.router.add_delete("/admin/faults", _reading(self.clear_faults))
        app.router.add_delete("/admin/faults/{id:[0-9]+}", _reading(self.remove_fault))
        return app

    def _actions(self) -> list[tuple[str, type[Body], Callable[[Any], Any]]]:
        return [
            ("/admin/faults", FaultBody, self.add_fault),
            ("/admin/pause", PauseBody, self.pause),
            ("/admin/resume", Nothing, self.resume),
            ("/admin/step", StepBody, self.step),
            ("/admin/rate", RateBody, self.rate),
            ("/admin/skip", SkipBody, self.skip),
            ("/admin/order", OrderBody, self.order),
            ("/admin/cancel", CancelBody, self.cancel),
            ("/admin/status", StatusBody, self.status),
            ("/admin/rules", RulesBody, self.rules),
            ("/admin/list", ListBody, self.list),
            ("/admin/delist", SymbolBody, self.delist),
            ("/admin/deposit", DepositBody, self.deposit),
            ("/admin/cut", CutBody, self.cut),
            ("/admin/shutdown-event", CutBody, self.shutdown_event),
            ("/admin/clock", ClockBody, self.clock),
            ("/admin/limits", LimitsBody, self.change_limits),
            ("/admin/forgive", Nothing, self.forgive),
        ]

    # -------------------------------------------------------------------------------------------------- reading

    def stats(self, request: web.Request) -> Any:
        return self.venue.statistics()

    def faults(self, request: web.Request) -> Any:
        return {
            "faults": self.venue.faults.listed(),
            "done": dict(self.venue.faults.counters),
            "held": self.venue.faults.held,
        }

    def book(self, request: web.Request) -> Any:
        """The whole book of a symbol at its present update id."""
        market = self.venue.market(_query(request, "symbol"))
        return {
            "symbol": market.symbol,
            "update_id": market.update_id,
            "bids": _levels(market.bids.depth()),
            "asks": _levels(market.asks.depth()),
        }

    def history(self, request: web.Request) -> Any:
        """Changes after an update id: [id, time_ns, "bid" or "ask", price, size]."""
        market = self.venue.market(_query(request, "symbol"))
        after = _whole(request, "since", market.log.first_id or 0)
        limit = min(_whole(request, "limit", PAGE), PAGE)
        found = market.log.since(after, limit)
        first = market.log.first_id
        return {
            "symbol": market.symbol,
            "update_id": market.update_id,
            "first_id": first,
            # Nothing after `since` was dropped from the log.
            "complete": not market.log.dropped or (first is not None and after >= first - 1),
            "more": len(found) == limit and bool(found) and found[-1].id < market.update_id,
            "updates": [
                (change.id, change.time_ns, "ask" if change.side else "bid", text(change.price), text(change.size))
                for change in found
            ],
        }

    def trades(self, request: web.Request) -> Any:
        market = self.venue.market(_query(request, "symbol"))
        after = _whole(request, "since", 0)
        return {
            "symbol": market.symbol,
            "trades": [
                {
                    "id": trade.id,
                    "price": text(trade.price),
                    "size": text(trade.size),
                    "time_ns": trade.time_ns,
                    "buyer_is_maker": trade.buyer_is_maker,
                }
                for trade in market.trades
                if trade.id > after
            ],
        }

    def ledger(self, request: web.Request) -> Any:
        """Balances, orders and fills of one account, or of all that are not the crowd's."""
        name = request.query.get("account")
        if name is not None and name not in self.venue.engine.accounts:
            raise Refusal("account", f"no account {name!r}", 404, "not found")
        accounts = self.venue.engine.accounts.values()
        chosen = [a for a in accounts if (a.name == name if name is not None else not a.internal)]
        return {"accounts": [_account(account) for account in chosen]}

    def connections(self, request: web.Request) -> Any:
        return {
            "connections": [
                {
                    "id": client.number,
                    "ip": client.ip,
                    "api": client.is_api,
                    "combined": client.form.combined,
                    "streams": list(client.streams),
                    "sent_frames": client.sent_frames,
                    "sent_bytes": client.sent_bytes,
                    "unsent": client.unsent,
                    "silent": client.silent,
                }
                for client in self.venue.hub.clients.values()
            ]
        }

    def limits(self, request: web.Request) -> Any:
        return asdict(self.venue.limits)

    # --------------------------------------------------------------------------------------------------- faults

    def add_fault(self, body: FaultBody) -> Any:
        if body.symbol is not None and body.symbol not in self.venue.engine.markets:
            raise Refusal("symbol", f"{body.symbol!r} is not listed")
        return asdict(self.venue.faults.add(Fault(**body.model_dump())))

    def clear_faults(self, request: web.Request) -> Any:
        return {"removed": self.venue.faults.clear()}

    def remove_fault(self, request: web.Request) -> Any:
        if not self.venue.faults.remove(int(request.match_info["id"])):
            raise Refusal("id", "no such fault", 404, "not found")
        return {"removed": 1}

    def cut(self, body: CutBody) -> Any:
        clients = self._clients(body.connection)
        for client in clients:
            client.cut()
        return {"cut": [client.number for client in clients]}

    def shutdown_event(self, body: CutBody) -> Any:
        return {"told": self.venue.hub.announce_shutdown(self._clients(body.connection))}

    def skip(self, body: SkipBody) -> Any:
        market = self.venue.market(body.symbol)
        self.venue.hub.flush(market)
        return {"update_id": self.venue.engine.skip_ids(body.symbol, body.ids)}

    def _clients(self, number: int | None) -> Sequence[Client]:
        clients = self.venue.hub.clients
        if number is not None and number not in clients:
            raise Refusal("connection", f"no connection {number}", 404, "not found")
        return list(clients.values()) if number is None else [clients[number]]

    # --------------------------------------------------------------------------------------------------- market

    async def pause(self, body: PauseBody) -> Any:
        """Come to rest. With `wait_s`, answer when clients have been given everything, or after so many seconds."""
        venue = self.venue
        venue.pause()
        if body.wait_s and venue.unsent:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(venue.drained(), body.wait_s)
        return {
            "paused": True,
            "unsent": venue.unsent,
            "update_ids": {market.symbol: market.update_id for market in venue.engine.markets.values()},
        }

    def resume(self, body: Nothing) -> Any:
        self.venue.resume()
        return {"paused": False}

    def step(self, body: StepBody) -> Any:
        return {"changes": self.venue.step(body.slices)}

    def rate(self, body: RateBody) -> Any:
        if body.symbol is not None:
            self.venue.market(body.symbol)
        self.venue.crowd.set_rate(body.rate, body.symbol)
        return {symbol: pit.rate for symbol, pit in self.venue.crowd.pits.items()}

    def order(self, body: OrderBody) -> Any:
        engine = self.venue.engine
        if body.account not in engine.accounts:
            if body.account != "admin":
                raise Refusal("account", f"no account {body.account!r}")
            engine.add_account(Account("admin"))
        account = engine.accounts[body.account]
        rules = self.venue.market(body.symbol).rules
        if body.account == "admin":  # the admin's own hand is never short
            for asset in (rules.base, rules.quote):
                account.deposit(asset, max(0, 10**17 - account.balance(asset).free))
        order = engine.place(
            account,
            body.symbol,
            Side.BUY if body.side == "BUY" else Side.SELL,
            body.type,
            _raw("quantity", body.quantity) or 0,
            _raw("price", body.price),
            self.venue.clock.now_ns(),
            body.time_in_force,
            body.client_order_id,
            _raw("quote_quantity", body.quote_quantity),
            body.self_trade,
        )
        return _order(order) | {"update_id": self.venue.market(body.symbol).update_id}

    def cancel(self, body: CancelBody) -> Any:
        return _order(self.venue.engine.cancel(body.symbol, body.order_id, self.venue.clock.now_ns()))

    def status(self, body: StatusBody) -> Any:
        self.venue.market(body.symbol)
        return _rules(self.venue.engine.change_rules(body.symbol, status=body.status))

    def rules(self, body: RulesBody) -> Any:
        given = body.model_dump(exclude={"symbol"}, exclude_none=True)
        changes = {name: _raw(name, value) for name, value in given.items()}
        for name in ("tick", "step"):
            if name in changes and not changes[name]:
                raise Refusal(name, "must be above zero")
        return _rules(self.venue.engine.change_rules(body.symbol, **changes))

    def list(self, body: ListBody) -> Any:
        try:
            rules = rules_for(body.symbol)
        except Misconfigured as error:
            raise Refusal("symbol", str(error.reason)) from None
        fields: dict[str, Any] = {"levels": body.levels, "start_price": _raw("start_price", body.start_price)}
        if fields["start_price"] is not None and not rules.min_price <= fields["start_price"] <= rules.max_price:
            raise Refusal("start_price", "outside the symbol's price range")
        plain = {name: getattr(rules, name) for name in Rules.__slots__}
        market = self.venue.list(Rules(**plain | {k: v for k, v in fields.items() if v is not None}))
        return _rules(market.rules) | {"update_id": market.update_id}

    def delist(self, body: SymbolBody) -> Any:
        self.venue.delist(body.symbol)
        return {"symbols": list(self.venue.engine.markets)}

    def deposit(self, body: DepositBody) -> Any:
        account = self.venue.engine.accounts.get(body.account)
        if account is None:
            raise Refusal("account", f"no account {body.account!r}", 404, "not found")
        account.deposit(body.asset, _raw("amount", body.amount) or 0)
        return _account(account)

    # --------------------------------------------------------------------------------------------------- the rest

    def clock(self, body: ClockBody) -> Any:
        self.venue.clock.skew_ns = int(body.skew_ms * 1_000_000)
        return {"skew_ms": body.skew_ms, "time_ns": self.venue.clock.now_ns()}

    def change_limits(self, body: LimitsBody) -> Any:
        for name, value in body.model_dump(exclude_none=True).items():
            setattr(self.venue.limits, name, value)
        return asdict(self.venue.limits)

    def forgive(self, body: Nothing) -> Any:
        self.venue.meter.forgive()
        return {}


def _reading(answer: Callable[[web.Request], Any]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return _json(answer(request))

    return handle


def _acting(shape: type[Body], act: Callable[[Any], Any]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            body = shape.model_validate_json(raw or b"{}")
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or None
            raise Refusal(where, str(first["msg"])) from None
        done = act(body)
        return _json(await done if asyncio.iscoroutine(done) else done)

    return handle


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Loopback only; refusals become typed JSON errors."""
    try:
        if request.remote is None or not ipaddress.ip_address(request.remote).is_loopback:
            raise Refusal(None, "loopback only", 403, "forbidden")
        if "Origin" in request.headers:
            raise Refusal(None, "not for web pages", 403, "forbidden")
        return await handler(request)
    except Refusal as refusal:
        return _json(refusal.body, refusal.status)
    except Rejected as rejected:
        unknown = rejected.code in ("UNKNOWN_SYMBOL", "UNKNOWN_ORDER")
        body = {"error": {"type": rejected.code, "field": "symbol" if unknown else None, "reason": rejected.reason}}
        return _json(body, 404 if unknown else 400)
    except web.HTTPException as error:
        return _json({"error": {"type": "http", "field": None, "reason": error.reason}}, error.status)


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def _query(request: web.Request, name: str) -> str:
    value = request.query.get(name)
    if not value:
        raise Refusal(name, "is required")
    return value


def _whole(request: web.Request, name: str, default: int) -> int:
    value = request.query.get(name)
    if value is None:
        return default
    if not value.isdecimal():
        raise Refusal(name, f"{value!r} is not a whole number")
    return int(value)


def _raw(field: str, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        raw = to_raw(value, SCALE)
    except FixedPointError as error:
        raise Refusal(field, str(error)) from None
    if raw < 0:
        raise Refusal(field, "must not be negative")
    return raw


def _levels(levels: list[tuple[int, int]]) -> list[tuple[str, str]]:
    return [(text(price), text(size)) for price, size in levels]


def _rules(rules: Rules) -> dict[str, Any]:
    plain: dict[str, Any] = {"symbol": rules.symbol, "base": rules.base, "quote": rules.quote, "status": rules.status}
    for name in ("tick", "step", "min_price", "max_price", "min_size", "max_size", "min_notional"):
        plain[name] = text(getattr(rules, name))
    return plain | {"maker_fee": text(rules.maker_fee), "taker_fee": text(rules.taker_fee)}


def _order(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.id,
        "client_order_id": order.client_id,
        "account": order.account.name,
        "symbol": order.symbol,
        "side": order.side.name,
        "type": order.kind,
        "time_in_force": order.time_in_force,
        "price": None if order.price is None else text(order.price),
        "size": text(order.size),
        "filled": text(order.filled),
        "quote_filled": text(order.quote_filled),
        "prevented": text(order.prevented),
        "status": order.status,
        "created_ns": order.created_ns,
        "updated_ns": order.updated_ns,
    }


def _fill(fill: Fill) -> dict[str, Any]:
    return asdict(fill) | {name: text(getattr(fill, name)) for name in ("price", "size", "quote", "fee")}


def _account(account: Account) -> dict[str, Any]:
    return {
        "account": account.name,
        "key": account.key,
        "balances": {
            asset: {"free": text(balance.free), "locked": text(balance.locked)}
            for asset, balance in account.balances.items()
        },
        "orders": [_order(order) for order in account.orders],
        "fills": [_fill(fill) for fill in account.fills],
    }

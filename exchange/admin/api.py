"""The admin interface: JSON, for this host, or for hosts with its token. Faults, rates, books, history.

docs/local-exchange.md has every endpoint.

Every body is checked before anything changes: the answer to a wrong body is 400 and names the field.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import web
from pydantic import ValidationError

from ...model.errors import Misconfigured, Rejected
from ...model.events import Side
from ...model.hosts import is_loopback
from ..engine.accounts import Account, Ticket
from ..engine.rules import Rules, rules_for
from ..face import Face
from ..faults import Fault
from ..venue import Venue
from ..wire.connection import Connection
from ..wire.numbers import text
from .accounts import AccountsAdmin, order_plain, raw
from .bodies import (
    Body,
    CancelBody,
    ClockBody,
    CutBody,
    FaultBody,
    FillBody,
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
from .refusal import Refusal, query, whole_number

PAGE = 100_000


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Admin:
    """Serves the admin interface of one venue. With a token every request needs it, without one only loopback may."""

    def __init__(self, venue: Venue, token: str | None = None) -> None:
        self.venue = venue
        self._token = token
        self.accounts = AccountsAdmin(venue)

    def app(self) -> web.Application:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._guard(request, handler)

        app = web.Application(client_max_size=1 << 20, middlewares=[guard])
        for path, read in (
            ("/admin/stats", self.stats),
            ("/admin/faults", self.faults),
            ("/admin/book", self.book),
            ("/admin/history", self.history),
            ("/admin/trades", self.trades),
            ("/admin/connections", self.connections),
            ("/admin/limits", self.limits),
            *self.accounts.readings(),
        ):
            app.router.add_get(path, _reading(read))
        for path, shape, act in [*self._actions(), *self.accounts.actions()]:
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
            ("/admin/fill", FillBody, self.fill),
            ("/admin/status", StatusBody, self.status),
            ("/admin/rules", RulesBody, self.rules),
            ("/admin/list", ListBody, self.list),
            ("/admin/delist", SymbolBody, self.delist),
            ("/admin/cut", CutBody, self.cut),
            ("/admin/shutdown-event", CutBody, self.shutdown_event),
            ("/admin/clock", ClockBody, self.clock),
            ("/admin/limits", LimitsBody, self.change_limits),
            ("/admin/forgive", Nothing, self.forgive),
        ]

    # ---------------------------------------------------------------------------------------------------- access

    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse strangers; refusals become typed JSON errors."""
        try:
            self._check_access(request)
            return await handler(request)
        except Refusal as refusal:
            return _json(refusal.body, refusal.status)
        except Rejected as rejected:
            unknown = rejected.code in ("UNKNOWN_SYMBOL", "UNKNOWN_ORDER")
            body = {"error": {"type": rejected.code, "field": "symbol" if unknown else None, "reason": rejected.reason}}
            return _json(body, 404 if unknown else 400)
        except web.HTTPException as error:
            return _json({"error": {"type": "http", "field": None, "reason": error.reason}}, error.status)

    def _check_access(self, request: web.Request) -> None:
        """Raises Refusal."""
        if "Origin" in request.headers:
            raise Refusal(None, "not for web pages", 403, "forbidden")
        if self._token is None:
            if request.remote is None or not ipaddress.ip_address(request.remote).is_loopback:
                raise Refusal(None, "loopback only", 403, "forbidden")
            if not is_loopback(_host_of(request)):  # a page's own name may be given this host's address
                raise Refusal("Host", "must be localhost or a loopback address", 403, "forbidden")
            return
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), f"Bearer {self._token}".encode()):
            raise Refusal("Authorization", "must be 'Bearer ' and the token of --admin-token", 401, "unauthorized")

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
        """Return the whole book of a symbol at its current update id."""
        market = self.venue.market(query(request, "symbol"))
        return {
            "symbol": market.symbol,
            "update_id": market.update_id,
            "bids": _levels(market.bids.depth()),
            "asks": _levels(market.asks.depth()),
        }

    def history(self, request: web.Request) -> Any:
        """Changes after an update id: [id, time_ns, "bid" or "ask", price, size]."""
        market = self.venue.market(query(request, "symbol"))
        after = whole_number(request, "since", market.log.first_id or 0)
        limit = min(whole_number(request, "limit", PAGE), PAGE)
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
        market = self.venue.market(query(request, "symbol"))
        after = whole_number(request, "since", 0)
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

    def connections(self, request: web.Request) -> Any:
        """Return the websocket connections: common facts, then those of their protocol."""
        return {
            "connections": [
                {
                    "id": connection.number,
                    "protocol": connection.protocol,
                    "ip": connection.ip,
                    "streams": list(connection.streams),
                    "sent_frames": connection.sent_frames,
                    "sent_bytes": connection.sent_bytes,
                    "unsent": connection.unsent,
                    "silent": connection.silent,
                    **self.venue.faces[connection.protocol].describe(connection),
                }
                for connection in self.venue.connections.values()
            ]
        }

    def limits(self, request: web.Request) -> Any:
        return asdict(self._face(request.query.get("protocol")).limits)

    # --------------------------------------------------------------------------------------------------- faults

    def add_fault(self, body: FaultBody) -> Any:
        if body.symbol is not None and body.symbol not in self.venue.engine.markets:
            raise Refusal("symbol", f"{body.symbol!r} is not listed")
        if body.account is not None:
            self.accounts.account(body.account)
        if body.kind == "balance" and (body.account is None or body.asset is None):
            raise Refusal("account" if body.account is None else "asset", "is required for this kind")
        if (body.kind == "rewrite") != bool(body.find):
            raise Refusal("find", "is required for the kind rewrite, and for no other kind")
        faces = self.venue.faces.values() if body.protocol is None else [self._face(body.protocol)]
        if body.code is not None and not any(body.code in face.unknown_outcomes for face in faces):
            raise Refusal("code", "no error code for an unknown outcome")
        return asdict(self.venue.faults.add(Fault(**body.model_dump())))

    def clear_faults(self, request: web.Request) -> Any:
        return {"removed": self.venue.faults.clear()}

    def remove_fault(self, request: web.Request) -> Any:
        if not self.venue.faults.remove(int(request.match_info["id"])):
            raise Refusal("id", "no such fault", 404, "not found")
        return {"removed": 1}

    def cut(self, body: CutBody) -> Any:
        chosen = self._connections(body.connection)
        if body.account is not None:
            account = self.accounts.account(body.account)
            listeners = {each for face in self.venue.faces.values() for each in face.listeners(account)}
            chosen = [connection for connection in chosen if connection in listeners]
        for connection in chosen:
            connection.cut()
        return {"cut": [connection.number for connection in chosen]}

    def shutdown_event(self, body: CutBody) -> Any:
        return {"sent": self.venue.announce_shutdown(self._connections(body.connection))}

    def skip(self, body: SkipBody) -> Any:
        self.venue.flush_market(self.venue.market(body.symbol))
        return {"update_id": self.venue.engine.skip_ids(body.symbol, body.ids)}

    def _connections(self, number: int | None) -> Sequence[Connection]:
        connections = self.venue.connections
        if number is not None and number not in connections:
            raise Refusal("connection", f"no connection {number}", 404, "not found")
        return list(connections.values()) if number is None else [connections[number]]

    def _face(self, name: str | None) -> Face:
        """Return the protocol of that name. The name is optional where there is only one protocol."""
        faces = self.venue.faces
        if name is None and len(faces) == 1:
            return next(iter(faces.values()))
        if name is None or name not in faces:
            raise Refusal("protocol", f"must be one of {', '.join(faces)}")
        return faces[name]

    # --------------------------------------------------------------------------------------------------- market

    async def pause(self, body: PauseBody) -> Any:
        """Stop the market.

        With `wait_s`, answer when all frames are written to clients, at the latest after that time.
        """
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
        account = self._hand(body.symbol) if body.account == "admin" else engine.accounts.get(body.account)
        if account is None:
            raise Refusal("account", f"no account {body.account!r}")
        ticket = Ticket(
            Side.BUY if body.side == "BUY" else Side.SELL,
            body.type,
            _raw("quantity", body.quantity) or 0,
            _raw("price", body.price),
            body.time_in_force,
            body.client_order_id,
            _raw("quote_quantity", body.quote_quantity),
            body.self_trade,
            _raw("stop_price", body.stop_price),
        )
        order = engine.submit(account, body.symbol, ticket, self.venue.clock.now_ns())
        return order_plain(order) | {"update_id": self.venue.market(body.symbol).update_id}

    def _hand(self, symbol: str) -> Account:
        """The admin's own account, which always has enough funds."""
        engine = self.venue.engine
        account = engine.accounts.get("admin") or engine.add_account(Account("admin"))
        rules = self.venue.market(symbol).rules
        for asset in (rules.base, rules.quote):
            account.deposit(asset, max(0, 10**17 - account.balance(asset).free))
        return account

    def fill(self, body: FillBody) -> Any:
        """Fill `quantity` or all of a resting order; orders ahead of it in the queue are filled first."""
        market, engine = self.venue.market(body.symbol), self.venue.engine
        order = next((a.open[body.order_id] for a in engine.accounts.values() if body.order_id in a.open), None)
        if order is None or order.symbol != body.symbol or order.price is None or order.working_ns < 0:
            raise Refusal("order_id", "there is no such order in the book", 404, "not found")
        wanted = _raw("quantity", body.quantity) or order.remaining
        if wanted > order.remaining:
            raise Refusal("quantity", "is more than the order's remaining size")
        ahead = 0
        for level in (market.bids if order.side is Side.BUY else market.asks).best_first():
            for resting in level.orders.values():
                if resting is order:
                    break
                ahead += resting.remaining
            if level.price == order.price:
                break
        side = Side.SELL if order.side is Side.BUY else Side.BUY
        ticket = Ticket(side, "LIMIT", ahead + wanted, order.price, "IOC", self_trade="NONE")
        engine.submit(self._hand(body.symbol), body.symbol, ticket, self.venue.clock.now_ns())
        return order_plain(order) | {"update_id": market.update_id}

    def cancel(self, body: CancelBody) -> Any:
        return order_plain(self.venue.engine.cancel(body.symbol, body.order_id, self.venue.clock.now_ns()))

    def status(self, body: StatusBody) -> Any:
        self.venue.market(body.symbol)
        return _rules(self.venue.engine.change_rules(body.symbol, status=body.status))

    def rules(self, body: RulesBody) -> Any:
        given = body.model_dump(exclude={"symbol"}, exclude_none=True)
        changes = {name: _raw(name, value) if isinstance(value, str) else value for name, value in given.items()}
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

    # --------------------------------------------------------------------------------------------------- the rest

    def clock(self, body: ClockBody) -> Any:
        self.venue.clock.skew_ns = int(body.skew_ms * 1_000_000)
        return {"skew_ms": body.skew_ms, "time_ns": self.venue.clock.now_ns()}

    def change_limits(self, body: LimitsBody) -> Any:
        limits = self._face(body.protocol).limits
        for name, value in body.changes(limits).items():
            setattr(limits, name, value)
        return asdict(limits)

    def forgive(self, body: Nothing) -> Any:
        for face in self.venue.faces.values():
            face.forgive()
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


def _host_of(request: web.Request) -> str:
    """Return the host that the client asked, without its port; empty: none, or not readable."""
    try:
        return urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    except ValueError:
        return ""


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def _raw(field: str, value: str | None) -> int | None:
    return None if value is None else raw(field, value)


def _levels(levels: list[tuple[int, int]]) -> list[tuple[str, str]]:
    return [(text(price), text(size)) for price, size in levels]


def _rules(rules: Rules) -> dict[str, Any]:
    plain: dict[str, Any] = {"symbol": rules.symbol, "base": rules.base, "quote": rules.quote, "status": rules.status}
    for name in ("tick", "step", "min_price", "max_price", "min_size", "max_size", "min_notional"):
        plain[name] = text(getattr(rules, name))
    return plain | {"maker_fee": text(rules.maker_fee), "taker_fee": text(rules.taker_fee)}

"""Clients of the admin interface, for tests and the demo: one blocks, one is for asyncio. They return plain values.

admin = AdminClient(urls["admin"])
admin.fault(kind="drop", symbol="BTCUSDT", count=1)
admin.pause(wait_s=2)
admin.book("BTCUSDT")["bids"]
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

import aiohttp

from ...model.errors import Rejected

Out = TypeVar("Out")


class _Calls(ABC, Generic[Out]):
    """Every endpoint as a method; each client has its own `_call`."""

    @abstractmethod
    def _call(self, method: str, path: str, query: dict[str, Any] | None = None, body: Any = None) -> Out: ...

    def stats(self) -> Out:
        return self._call("GET", "/admin/stats")

    def book(self, symbol: str) -> Out:
        """The whole book: `update_id`, `bids`, `asks` as [price, size] texts, best first."""
        return self._call("GET", "/admin/book", {"symbol": symbol})

    def history(self, symbol: str, since: int = 0, limit: int = 100_000) -> Out:
        """Changes after update id `since`: `updates` as [id, time_ns, "bid" or "ask", price, new size]."""
        return self._call("GET", "/admin/history", {"symbol": symbol, "since": since, "limit": limit})

    def trades(self, symbol: str, since: int = 0) -> Out:
        return self._call("GET", "/admin/trades", {"symbol": symbol, "since": since})

    def ledger(self, account: str | None = None) -> Out:
        return self._call("GET", "/admin/ledger", {} if account is None else {"account": account})

    def connections(self) -> Out:
        return self._call("GET", "/admin/connections")

    def fault(self, **rule: Any) -> Out:
        """Set a fault; see `faults.Fault` for the fields. Returns the rule with its id."""
        return self._call("POST", "/admin/faults", body=rule)

    def faults(self) -> Out:
        return self._call("GET", "/admin/faults")

    def remove_fault(self, number: int) -> Out:
        return self._call("DELETE", f"/admin/faults/{number}")

    def clear_faults(self) -> Out:
        return self._call("DELETE", "/admin/faults")

    def pause(self, wait_s: float = 0.0) -> Out:
        """Stop the market; on return every diff was sent (and, with `wait_s`, written to the clients' sockets)."""
        return self._call("POST", "/admin/pause", body={"wait_s": wait_s})

    def resume(self) -> Out:
        return self._call("POST", "/admin/resume")

    def step(self, slices: int = 10) -> Out:
        return self._call("POST", "/admin/step", body={"slices": slices})

    def rate(self, rate: float, symbol: str | None = None) -> Out:
        return self._call("POST", "/admin/rate", body={"rate": rate, "symbol": symbol})

    def skip(self, symbol: str, ids: int = 1) -> Out:
        return self._call("POST", "/admin/skip", body={"symbol": symbol, "ids": ids})

    def order(self, symbol: str, side: str, **fields: Any) -> Out:
        """Place an order by hand: quantity, quote_quantity, price, stop_price, type, time_in_force, account,
        client_order_id, self_trade. Account `admin`, the default, always has enough funds."""
        return self._call("POST", "/admin/order", body={"symbol": symbol, "side": side, **fields})

    def fill(self, symbol: str, order_id: int, quantity: str | None = None) -> Out:
        """Fill a resting order, completely or in part; orders ahead of it in the queue are filled first."""
        return self._call("POST", "/admin/fill", body={"symbol": symbol, "order_id": order_id, "quantity": quantity})

    def cancel(self, symbol: str, order_id: int) -> Out:
        return self._call("POST", "/admin/cancel", body={"symbol": symbol, "order_id": order_id})

    def status(self, symbol: str, status: str) -> Out:
        return self._call("POST", "/admin/status", body={"symbol": symbol, "status": status})

    def rules(self, symbol: str, **rules: Any) -> Out:
        return self._call("POST", "/admin/rules", body={"symbol": symbol, **rules})

    def list(self, symbol: str, **fields: Any) -> Out:
        return self._call("POST", "/admin/list", body={"symbol": symbol, **fields})

    def delist(self, symbol: str) -> Out:
        return self._call("POST", "/admin/delist", body={"symbol": symbol})

    def accounts(self) -> Out:
        """Names, keys (never their secrets) and balances."""
        return self._call("GET", "/admin/accounts")

    def orders(self, account: str, since: int = 0, limit: int = 10_000, **only: str) -> Out:
        """Orders with ids above `since`, in their current state: `orders`, `more`. `only`: status, client_order_id."""
        return self._call("GET", "/admin/orders", {"account": account, "since": since, "limit": limit, **only})

    def fills(self, account: str, since: int = 0, limit: int = 10_000) -> Out:
        """The account's fills after number `since`: `fills` with their `number`, `more`, `complete`."""
        return self._call("GET", "/admin/fills", {"account": account, "since": since, "limit": limit})

    def receipts(self, account: str, since: int = 0, limit: int = 10_000) -> Out:
        """Placements received, accepted and refused per client order id: `receipts`, `more`."""
        return self._call("GET", "/admin/receipts", {"account": account, "since": since, "limit": limit})

    def receipt(self, account: str, client_order_id: str) -> Out:
        """The receipt of one id; all its counts are 0 if the id was never seen."""
        return self._call("GET", "/admin/receipts", {"account": account, "client_order_id": client_order_id})

    def add_account(self, account: str, key: str, **fields: Any) -> Out:
        """Open an account: `secret` or `public_key` (PEM), `balances`, `only` ("read" or "trade")."""
        return self._call("POST", "/admin/account", body={"account": account, "key": key, **fields})

    def add_key(self, account: str, key: str, **fields: Any) -> Out:
        return self._call("POST", "/admin/key", body={"account": account, "key": key, **fields})

    def revoke(self, key: str) -> Out:
        return self._call("POST", "/admin/revoke", body={"key": key})

    def reinstate(self, key: str) -> Out:
        """Undo `revoke`."""
        return self._call("POST", "/admin/reinstate", body={"key": key})

    def expire(self, account: str, key: str | None = None) -> Out:
        """End the account's user data streams, or those of one key."""
        return self._call("POST", "/admin/expire", body={"account": account, "key": key})

    def deposit(self, account: str, asset: str, amount: str) -> Out:
        return self._call("POST", "/admin/deposit", body={"account": account, "asset": asset, "amount": amount})

    def withdraw(self, account: str, asset: str, amount: str) -> Out:
        return self._call("POST", "/admin/withdraw", body={"account": account, "asset": asset, "amount": amount})

    def lock(self, account: str, asset: str, amount: str) -> Out:
        """Lock a part of a balance, like a system outside the exchange."""
        return self._call("POST", "/admin/lock", body={"account": account, "asset": asset, "amount": amount})

    def unlock(self, account: str, asset: str, amount: str) -> Out:
        return self._call("POST", "/admin/unlock", body={"account": account, "asset": asset, "amount": amount})

    def cancel_all(self, account: str, symbol: str | None = None) -> Out:
        return self._call("POST", "/admin/cancel-all", body={"account": account, "symbol": symbol})

    def cut(self, connection: int | None = None, account: str | None = None) -> Out:
        """Reset connections: one, those with an account's user data, or all."""
        return self._call("POST", "/admin/cut", body={"connection": connection, "account": account})

    def shutdown_event(self, connection: int | None = None) -> Out:
        return self._call("POST", "/admin/shutdown-event", body={"connection": connection})

    def clock(self, skew_ms: float) -> Out:
        return self._call("POST", "/admin/clock", body={"skew_ms": skew_ms})

    def limits(self, **limits: Any) -> Out:
        """Change limits of `protocol` (required if there are several); without limits, read them."""
        if set(limits) - {"protocol"}:
            return self._call("POST", "/admin/limits", body=limits)
        return self._call("GET", "/admin/limits", limits)

    def forgive(self) -> Out:
        return self._call("POST", "/admin/forgive")


def _url(base: str, path: str, query: dict[str, Any] | None) -> str:
    return base + path + ("?" + urllib.parse.urlencode(query) if query else "")


def _read(status: int, raw: bytes) -> Any:
    body = json.loads(raw)
    if status != 200:
        error = body.get("error", {})
        field = f"{error['field']}: " if error.get("field") else ""
        raise Rejected(str(error.get("type", status)), f"{field}{error.get('reason', raw[:200])}")
    return body


def _headers(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


class AdminClient(_Calls[Any]):
    """Blocks until the answer. Raises Rejected with the refusal's type and field; OSError: no answer."""

    def __init__(self, base: str, timeout_s: float = 30.0, token: str | None = None) -> None:
        self.base = base
        self.timeout_s = timeout_s
        self._headers = _headers(token)

    def _call(self, method: str, path: str, query: dict[str, Any] | None = None, body: Any = None) -> Any:
        data = None if method == "GET" else json.dumps(body if body is not None else {}).encode()
        request = urllib.request.Request(_url(self.base, path, query), data, self._headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as response:
                return _read(response.status, response.read())
        except urllib.error.HTTPError as error:
            return _read(error.code, error.read())


class AsyncAdminClient(_Calls[Coroutine[Any, Any, Any]]):
    """The client for asyncio, over the caller's aiohttp session."""

    def __init__(self, base: str, session: aiohttp.ClientSession, token: str | None = None) -> None:
        self.base = base
        self._session = session
        self._headers = _headers(token)

    async def _call(self, method: str, path: str, query: dict[str, Any] | None = None, body: Any = None) -> Any:
        data = None if method == "GET" else json.dumps(body if body is not None else {})
        url = _url(self.base, path, query)
        async with self._session.request(method, url, data=data, headers=self._headers) as response:
            return _read(response.status, await response.read())

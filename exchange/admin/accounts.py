"""The admin interface for accounts: the ledger as an independent record, keys, deposits, user data streams.

Answers come from the engine's own record. Faults that misstate balances or hold events do not change the answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from typing import Any

from aiohttp import web

from ...model.errors import FixedPointError, Misconfigured
from ...model.fixed import to_raw
from ..engine.accounts import Account, Fill, Order, OrderList
from ..engine.keys import ApiKey, public_key
from ..engine.rules import SCALE
from ..venue import Venue
from ..wire.numbers import text
from ..wire.receipts import Receipt
from .bodies import AccountBody, AmountBody, Body, CancelAllBody, ExpireBody, KeyBody
from .refusal import Refusal, query, whole_number

PAGE = 10_000


class AccountsAdmin:
    """Answers requests about accounts."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    def readings(self) -> list[tuple[str, Callable[[web.Request], Any]]]:
        return [
            ("/admin/ledger", self.ledger),
            ("/admin/accounts", self.accounts),
            ("/admin/orders", self.orders),
            ("/admin/fills", self.fills),
            ("/admin/receipts", self.receipts),
        ]

    def actions(self) -> list[tuple[str, type[Body], Callable[[Any], Any]]]:
        return [
            ("/admin/account", AccountBody, self.add_account),
            ("/admin/key", KeyBody, self.add_key),
            ("/admin/revoke", KeyBody, self.revoke),
            ("/admin/reinstate", KeyBody, self.reinstate),
            ("/admin/deposit", AmountBody, self.deposit),
            ("/admin/withdraw", AmountBody, self.withdraw),
            ("/admin/lock", AmountBody, self.lock),
            ("/admin/unlock", AmountBody, self.unlock),
            ("/admin/expire", ExpireBody, self.expire),
            ("/admin/cancel-all", CancelAllBody, self.cancel_all),
        ]

    # -------------------------------------------------------------------------------------------------- reading

    def ledger(self, request: web.Request) -> Any:
        """Balances, orders and fills of one account, or of all accounts outside the crowd."""
        name = request.query.get("account")
        accounts = self.venue.engine.accounts.values()
        chosen = [self.account(name)] if name is not None else [a for a in accounts if not a.internal]
        return {"accounts": [account_plain(account) for account in chosen]}

    def accounts(self, request: web.Request) -> Any:
        """Names, keys without their secrets, balances."""
        accounts = self.venue.engine.accounts.values()
        return {"accounts": [_summary(account) for account in accounts if not account.internal]}

    def orders(self, request: web.Request) -> Any:
        """Return orders of an account with ids above `since`, in the order of placement, in their current state."""
        account = self.account(query(request, "account"))
        since, limit = whole_number(request, "since", 0), _page(request)
        status, client_id = request.query.get("status"), request.query.get("client_order_id")
        chosen = (
            order
            for order in account.orders
            if order.id > since
            and (status is None or order.status == status)
            and (client_id is None or order.client_id == client_id)
        )
        found = list(islice(chosen, limit))
        return {"orders": [order_plain(order) for order in found], "more": len(found) == limit}

    def fills(self, request: web.Request) -> Any:
        """Fills of an account after number `since`, oldest first, each with its number."""
        account = self.account(query(request, "account"))
        since, limit = whole_number(request, "since", 0), _page(request)
        dropped = account.fill_count - len(account.fills)
        numbered = enumerate(account.fills, dropped + 1)
        found = list(islice(((number, fill) for number, fill in numbered if number > since), limit))
        return {
            "fills": [{"number": number, **fill_plain(fill)} for number, fill in found],
            "more": len(found) == limit,
            "complete": since >= dropped,
        }

    def receipts(self, request: web.Request) -> Any:
        """Return the number of placements per client order id, of ids first seen after number `since`."""
        receipts = self.venue.floor.receipts_of(self.account(query(request, "account")))
        client_id = request.query.get("client_order_id")
        if client_id is not None:
            return _receipt(receipts.find(client_id))
        limit = _page(request)
        found = list(receipts.since(whole_number(request, "since", 0), limit))
        return {
            "receipts": [{"number": number, **_receipt(receipt)} for number, receipt in found],
            "more": len(found) == limit,
        }

    # -------------------------------------------------------------------------------------------------- changing

    def add_account(self, body: AccountBody) -> Any:
        """Open an account with its first key."""
        if body.account in self.venue.engine.accounts:
            raise Refusal("account", f"{body.account!r} exists already")
        key = self._new_key(body)
        amounts = {asset: raw(f"balances.{asset}", amount) for asset, amount in body.balances.items()}
        account = self.venue.engine.add_account(Account(body.account, keys={key.name: key}))
        for asset, amount in amounts.items():
            account.deposit(asset, amount)
        return account_plain(account)

    def add_key(self, body: KeyBody) -> Any:
        """Give an account a further key."""
        if body.account is None:
            raise Refusal("account", "is required")
        account = self.account(body.account)
        key = self._new_key(body)
        account.keys[key.name] = key
        return _summary(account)

    def revoke(self, body: KeyBody) -> Any:
        """Revoke a key: its requests fail, its user data streams end, a logon ends with its next request."""
        owner = self.venue.floor.owner(body.key)
        if owner is None:
            raise Refusal("key", f"no key {body.key!r}", 404, "not found")
        account, key = owner
        key.revoked = True
        return {"account": account.name, "key": key.name, "streams": self.venue.end_user_data(account, key.name)}

    def reinstate(self, body: KeyBody) -> Any:
        """Restore the permissions of a revoked key."""
        owner = self.venue.floor.owner(body.key)
        if owner is None:
            raise Refusal("key", f"no key {body.key!r}", 404, "not found")
        account, key = owner
        key.revoked = False
        return {"account": account.name, "key": key.name}

    def expire(self, body: ExpireBody) -> Any:
        """End the user data streams of an account, or of one of its keys."""
        return {"streams": self.venue.end_user_data(self.account(body.account), body.key)}

    def deposit(self, body: AmountBody) -> Any:
        account, amount = self.account(body.account), raw("amount", body.amount)
        account.deposit(body.asset, amount)
        self.venue.balance_changed(account, body.asset, amount)
        return account_plain(account)

    def withdraw(self, body: AmountBody) -> Any:
        account, amount = self.account(body.account), raw("amount", body.amount)
        if account.balance(body.asset).free < amount:
            raise Refusal("amount", "is more than the free balance")
        account.deposit(body.asset, -amount)
        self.venue.balance_changed(account, body.asset, -amount)
        return account_plain(account)

    def lock(self, body: AmountBody) -> Any:
        """Lock a part of a balance, like a system outside the engine."""
        account, amount = self.account(body.account), raw("amount", body.amount)
        account.lock(body.asset, amount)
        self.venue.locked_outside(account, body.asset, amount)
        return account_plain(account)

    def unlock(self, body: AmountBody) -> Any:
        account, amount = self.account(body.account), raw("amount", body.amount)
        if account.balance(body.asset).locked < amount:
            raise Refusal("amount", "is more than the locked balance")
        account.unlock(body.asset, amount)
        self.venue.locked_outside(account, body.asset, -amount)
        return account_plain(account)

    def cancel_all(self, body: CancelAllBody) -> Any:
        """Cancel the open orders of an account, of one symbol or of all, on behalf of the exchange."""
        engine, account = self.venue.engine, self.account(body.account)
        cancelled = []
        for order in list(account.open.values()):
            if order.id in account.open and (body.symbol is None or order.symbol == body.symbol):
                engine.cancel(order.symbol, order.id, self._now())
                cancelled.append(order.id)
        return {"cancelled": cancelled}

    # ---------------------------------------------------------------------------------------------------- inside

    def account(self, name: str) -> Account:
        account = self.venue.engine.accounts.get(name)
        if account is None:
            raise Refusal("account", f"no account {name!r}", 404, "not found")
        return account

    def _now(self) -> int:
        return self.venue.clock.now_ns()

    def _new_key(self, body: AccountBody | KeyBody) -> ApiKey:
        if self.venue.floor.owner(body.key) is not None:
            raise Refusal("key", f"{body.key!r} exists already")
        if (body.secret is None) == (body.public_key is None):
            raise Refusal("secret", "give either secret or public_key")
        try:
            key = public_key(body.key, body.public_key.encode()) if body.public_key is not None else None
        except Misconfigured as error:
            raise Refusal("public_key", error.reason or "not a public key") from None
        made = key or ApiKey(body.key, (body.secret or "").encode())
        made.passphrase = body.passphrase
        made.can_read, made.can_trade = body.only != "trade", body.only != "read"
        return made


def raw(field: str, value: str) -> int:
    """Read an amount that is not negative."""
    try:
        amount = to_raw(value, SCALE)
    except FixedPointError as error:
        raise Refusal(field, str(error)) from None
    if amount < 0:
        raise Refusal(field, "must not be negative")
    return amount


def _page(request: web.Request) -> int:
    return max(1, min(whole_number(request, "limit", PAGE), PAGE))


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "client_order_id": receipt.client_id,
        "received": receipt.received,
        "accepted": receipt.accepted,
        "refused": receipt.refused,
    }


def order_plain(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.id,
        "client_order_id": order.client_id,
        "list_id": order.list_id,
        "account": order.account.name,
        "symbol": order.symbol,
        "side": order.side.name,
        "type": order.kind,
        "time_in_force": order.time_in_force,
        "price": None if order.price is None else text(order.price),
        "stop_price": None if order.stop_price is None else text(order.stop_price),
        "size": text(order.size),
        "quote_size": None if order.quote_size is None else text(order.quote_size),
        "filled": text(order.filled),
        "quote_filled": text(order.quote_filled),
        "prevented": text(order.prevented),
        "status": order.status,
        "expiry_reason": order.expiry_reason or None,
        "created_ns": order.created_ns,
        "working_ns": order.working_ns if order.working_ns > 0 else None,
        "updated_ns": order.updated_ns,
    }


def fill_plain(fill: Fill) -> dict[str, Any]:
    return asdict(fill) | {name: text(getattr(fill, name)) for name in ("price", "size", "quote", "fee")}


def _list_plain(group: OrderList) -> dict[str, Any]:
    return {
        "list_id": group.id,
        "client_order_id": group.client_id,
        "symbol": group.symbol,
        "contingency": group.contingency,
        "status": group.status,
        "orders": [order.id for order in group.orders],
    }


def _balances(account: Account) -> dict[str, dict[str, str]]:
    return {
        asset: {"free": text(balance.free), "locked": text(balance.locked)}
        for asset, balance in account.balances.items()
    }


def _summary(account: Account) -> dict[str, Any]:
    keys = [
        {
            "key": key.name,
            "kind": key.kind,
            "can_read": key.can_read,
            "can_trade": key.can_trade,
            "revoked": key.revoked,
        }
        for key in account.keys.values()
    ]
    return {"account": account.name, "keys": keys, "balances": _balances(account)}


def account_plain(account: Account) -> dict[str, Any]:
    return {
        "account": account.name,
        "key": account.key,
        "balances": _balances(account),
        "orders": [order_plain(order) for order in account.orders],
        "fills": [fill_plain(fill) for fill in account.fills],
        "complete": account.fill_count == len(account.fills) and account.order_count == len(account.orders),
        "lists": [_list_plain(group) for group in account.lists.values()],
    }

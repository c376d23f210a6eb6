"""Reads orders, fills, events and other records from rows. Each function runs in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    false,
    func,
    select,
    true,
    union,
)

from ..model.errors import Misconfigured
from ..model.order import AccountEvent, Fill, Order
from . import schema
from .records import Filter, JournaledRequest, Loaded, Owner, Pause, Transition

_CHUNK = 500  # ids in one IN
FEES_LOADED = 1_000  # fills without a fee with whose orders a manager starts
_ORDER_FIELDS = tuple(column for column in schema.orders.columns if column.name not in ("seq", "account_id", "open"))
_FILL_FIELDS = tuple(column for column in schema.fills.columns if column.name not in ("seq", "account_id"))
Listing = tuple[Table, Any, Any]
"""The listings: table, key that pages continue after (within an account), column of time."""
ORDERS = (schema.orders, schema.orders.c.seq, schema.orders.c.created_ns)
FILLS = (schema.fills, schema.fills.c.seq, schema.fills.c.ts_event_ns)
EVENTS = (schema.events, schema.events.c.number, schema.events.c.ts_recv_ns)


def account_row(connection: Connection, exchange: str, account: str, lock: bool = False) -> Any:
    """Return the account's row or None. With `lock` it is locked against other writers until the transaction ends."""
    named = {"of_exchange": exchange, "of_account": account}
    return connection.execute(LOCKED_ACCOUNT if lock else ACCOUNT, named).first()


def accounts(connection: Connection) -> list[tuple[str, str]]:
    """Return (exchange, account) of every account, in the order in which they were first taken."""
    of = schema.accounts.c
    return [(row.exchange, row.account) for row in connection.execute(select(of.exchange, of.account).order_by(of.id))]


def pairs(connection: Connection) -> list[str]:
    """Return every trading pair that has an order or a fill."""
    both = union(*(select(table.c.pair) for table in (schema.orders, schema.fills)))
    return [row.pair for row in connection.execute(both)]


def order_of(row: Any) -> Order:
    plain = {column.name: row[column.name] for column in _ORDER_FIELDS}
    plain["exchange"], plain["account"] = row["exchange"], row["account"]
    plain["fees"] = orjson.loads(plain["fees"])
    return Order.from_dict(plain)


def fill_of(row: Any) -> Fill:
    plain = {column.name: row[column.name] for column in _FILL_FIELDS}
    plain["more_fees"] = orjson.loads(plain["more_fees"] or "[]")
    return Fill.from_dict(plain)


def event_of(row: Any) -> AccountEvent:
    return AccountEvent.from_dict(orjson.loads(row["body"]))


def request_of(row: Any) -> JournaledRequest:
    return JournaledRequest(
        request_id=row["request_id"],
        kind=row["kind"],
        client_order_ids=tuple(orjson.loads(row["client_order_ids"])),
        text=row["text"],
        digest=row["digest"],
        not_after_ns=row["not_after_ns"],
        created_ns=row["created_ns"],
        epoch=row["epoch"],
        outcome=row["outcome"],
        closed_ns=row["closed_ns"],
    )


def joined(table: Table) -> Select[Any]:
    return select(table, schema.accounts.c.exchange, schema.accounts.c.account).join(
        schema.accounts, schema.accounts.c.id == table.c.account_id
    )


_MINE = (schema.accounts.c.exchange == bindparam("of_exchange"), schema.accounts.c.account == bindparam("of_account"))
_COUNTERS = (schema.accounts.c.epoch, schema.accounts.c.next_event, schema.accounts.c.batches)
ACCOUNT = select(schema.accounts.c.id, *_COUNTERS).where(*_MINE)
LINEAGE = select(schema.accounts.c.lineage).where(*_MINE)
TAKEN = select(
    *_COUNTERS, schema.accounts.c.id, schema.accounts.c.lineage, schema.accounts.c.mesh, schema.accounts.c.seen_ns
).where(*_MINE)
LOCKED_TAKEN = TAKEN.with_for_update()
LOCKED_ACCOUNT = ACCOUNT.with_for_update()
_ID: BindParameter[str] = bindparam("of_id")
ORDER_BY_ID = joined(schema.orders).where(*_MINE, schema.orders.c.client_order_id == _ID)
ORDER_BY_EXCHANGE_ID = joined(schema.orders).where(
    *_MINE, schema.orders.c.pair == bindparam("of_pair"), schema.orders.c.exchange_order_id == _ID
)


def rows(connection: Connection, table: Table, *where: ColumnElement[bool], by: Any = None) -> list[Any]:
    """Return rows of a table with their exchange and account."""
    statement = joined(table).where(*where)
    return list(connection.execute(statement if by is None else statement.order_by(by)).mappings())


def by_ids(connection: Connection, table: Table, account_id: int, ids: Iterable[str]) -> list[Any]:
    """Return the rows of these client order ids, in their order of arrival.

    Sorted here: with ORDER BY, SQLite walks the whole account instead of looking up the ids.
    """
    wanted, found = list(ids), []
    for start in range(0, len(wanted), _CHUNK):
        chosen = table.c.client_order_id.in_(wanted[start : start + _CHUNK])
        found += rows(connection, table, table.c.account_id == account_id, chosen)
    return sorted(found, key=lambda row: int(row["seq"]))


def selected(table: Table, time: Any, chosen: Filter) -> list[ColumnElement[bool]]:
    """Return the conditions of a filter.

    Raises:
        Misconfigured: the table has no such column.
    """
    of, where = table.c, []
    equal = {"pair": chosen.pair, "owner": chosen.owner, "client_order_id": chosen.client_order_id, "open": chosen.open}
    for name, value in equal.items():
        if value is None:
            continue
        if name not in of:
            raise Misconfigured(f"filter by {name}", f"{table.name} have no {name}")
        # The database uses a partial index only if the query has the same constant as the index.
        where.append(of[name] == ((true() if value else false()) if name == "open" else value))
    if chosen.since_ns is not None:
        where.append(time >= chosen.since_ns)
    if chosen.until_ns is not None:
        where.append(time < chosen.until_ns)
    if chosen.exchange is not None:
        where.append(schema.accounts.c.exchange == chosen.exchange)
    if chosen.account is not None:
        where.append(schema.accounts.c.account == chosen.account)
    return where


def page(
    connection: Connection,
    listing: Listing,
    chosen: Filter,
    after: int,
    limit: int,
    newest: bool = False,
    before: int | None = None,
) -> tuple[list[Any], int | None]:
    """Return up to `limit` rows with keys above `after`, in order, and the key where the next page begins; None if
    there are no more rows.

    `newest`: the last rows (below `before`) instead of the first; the next page are then the rows before them.
    """
    table, key, time = listing
    where = [key > after, *selected(table, time, chosen), *([] if before is None else [key < before])]
    order = key.desc() if newest else key
    found = list(connection.execute(joined(table).where(*where).order_by(order).limit(limit + 1)).mappings())
    more = found[limit - 1][key.name] if len(found) > limit else None
    return found[limit - 1 :: -1] if newest else found[:limit], more


def first_event(connection: Connection, account_id: int, next_event: int) -> int:
    """Return the number of the oldest kept event; `next_event` if none is kept."""
    of = schema.events.c
    found: int | None = connection.execute(select(func.min(of.number)).where(of.account_id == account_id)).scalar()
    return next_event if found is None else found


def unresolved(connection: Connection, account_id: int) -> list[JournaledRequest]:
    of = schema.requests.c
    found = rows(connection, schema.requests, of.account_id == account_id, of.open == true(), by=of.seq)
    return [request_of(row) for row in found]


def requests(connection: Connection, account_id: int, kind: str, since_ns: int) -> list[JournaledRequest]:
    """Return the requests of one kind that are unresolved or were resolved since a time, oldest first."""
    of = schema.requests.c
    of_kind = (of.account_id == account_id, of.kind == kind)
    found = rows(connection, schema.requests, *of_kind, of.open == true())
    found += rows(connection, schema.requests, *of_kind, of.open == false(), of.closed_ns >= since_ns)
    return [request_of(row) for row in sorted(found, key=lambda row: int(row["seq"]))]


def transitions(connection: Connection, account_id: int, client_order_id: str) -> list[Transition]:
    of = schema.transitions.c
    where = (of.account_id == account_id, of.client_order_id == client_order_id)
    return [
        Transition(row["client_order_id"], row["before"], row["after"], row["step"], row["ts_ns"], row["reason"])
        for row in rows(connection, schema.transitions, *where, by=of.seq)
    ]


def _without_fee(connection: Connection, account_id: int) -> set[str]:
    """Return the client order ids of the newest fills whose fee is not stated."""
    of = schema.fills.c
    newest = select(of.client_order_id).where(of.account_id == account_id, of.fee.is_(None)).order_by(of.seq.desc())
    return set(connection.execute(newest.limit(FEES_LOADED)).scalars())


def load(connection: Connection, exchange: str, account: str) -> Loaded:
    """Read the state that a manager starts from; empty, with epoch 0, for an account that was never taken."""
    found = account_row(connection, exchange, account)
    if found is None:
        return Loaded(exchange, account, 0, 1, 1, [], [], [], {}, {}, {}, {}, {}, None)
    account_id = found.id
    requests = unresolved(connection, account_id)
    of = schema.orders.c
    still_open = rows(connection, schema.orders, of.account_id == account_id, of.open == true(), by=of.seq)
    orders = [order_of(row) for row in still_open]
    there = {order.client_order_id for order in orders}
    named = {name for request in requests for name in request.client_order_ids} | _without_fee(connection, account_id)
    orders += [order_of(row) for row in by_ids(connection, schema.orders, account_id, sorted(named - there))]
    fills = by_ids(connection, schema.fills, account_id, [order.client_order_id for order in orders])

    def values(table: Table) -> list[Any]:
        return rows(connection, table, table.c.account_id == account_id)

    held_at = schema.balances.c
    newest = (
        select(held_at.ts_ns, held_at.body)
        .where(held_at.account_id == account_id)
        .order_by(held_at.seq.desc())
        .limit(1)
    )
    balances = connection.execute(newest).first()
    held = {} if balances is None else orjson.loads(balances.body)
    return Loaded(
        exchange=exchange,
        account=account,
        epoch=found.epoch,
        next_event=found.next_event,
        first_event=first_event(connection, account_id, found.next_event),
        orders=orders,
        fills=[fill_of(row) for row in fills],
        requests=requests,
        cursors={row["name"]: row["number"] for row in values(schema.cursors)},
        pauses={row["scope"]: Pause(row["reason"], row["ts_ns"]) for row in values(schema.pauses)},
        owners={row["owner"]: Owner(row["on_death"], row["ts_ns"]) for row in values(schema.owners)},
        marks={row["name"]: row["text"] for row in values(schema.marks)},
        balances={asset: (Decimal(free), Decimal(locked)) for asset, (free, locked) in held.items()},
        balances_ns=None if balances is None else balances.ts_ns,
        lineage=connection.execute(LINEAGE, {"of_exchange": exchange, "of_account": account}).scalar_one(),
    )

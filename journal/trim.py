"""Deletes old records, in transactions so small that they hardly delay commits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Table, delete, exists, false, select, true

from . import queries, schema
from .database import Database
from .records import Trimmed

_STEP = 500  # rows of one transaction


def trim(database: Database, exchange: str, account: str, before_ns: int, keep_events: int | None) -> Trimmed:
    """See `Journal.trim`."""

    def repeat(step: Callable[[Connection, int], tuple[int, ...]]) -> tuple[int, ...]:
        """Run the step in one transaction after another until it deletes nothing; return the sums of its counts."""

        def work(connection: Connection) -> tuple[int, ...]:
            row = queries.account_row(connection, exchange, account, lock=True)
            return (0,) if row is None else step(connection, row.id)

        total: tuple[int, ...] = ()
        while any(found := database.run(work, write=True)):
            total = tuple(map(sum, zip(total, found, strict=True))) if total else found
        return total or (0, 0)

    def orders(connection: Connection, account_id: int) -> tuple[int, ...]:
        of = schema.orders.c
        where = (of.account_id == account_id, of.open == false(), of.updated_ns < before_ns)
        held = _held(connection, account_id)
        found = select(of.client_order_id).where(*where, of.client_order_id.not_in(held)).order_by(of.updated_ns)
        ids = list(connection.execute(found.limit(_STEP)).scalars())
        if not ids:
            return 0, 0
        _delete(connection, schema.transitions, account_id, ids)
        fills = _delete(connection, schema.fills, account_id, ids)
        return _delete(connection, schema.orders, account_id, ids), fills

    def requests(connection: Connection, account_id: int) -> tuple[int, ...]:
        of = schema.requests.c
        where = (of.account_id == account_id, of.open == false(), of.closed_ns < before_ns)
        found = list(connection.execute(select(of.request_id).where(*where).limit(_STEP)).scalars())
        return (_delete_keys(connection, of.request_id, found, of.account_id == account_id),)

    def tombstones(connection: Connection, account_id: int) -> tuple[int, ...]:
        of = schema.tombstones.c
        where = (of.account_id == account_id, of.ts_ns < before_ns)
        found = list(connection.execute(select(of.client_order_id).where(*where).limit(_STEP)).scalars())
        return (_delete_keys(connection, of.client_order_id, found, of.account_id == account_id),)

    def events(connection: Connection, account_id: int) -> tuple[int, ...]:
        """Delete the oldest events, so that the kept events have no gap."""
        of, counter = schema.events.c, schema.accounts.c
        next_event = connection.execute(select(counter.next_event).where(counter.id == account_id)).scalar_one()
        keep_from = 0 if keep_events is None else next_event - keep_events
        oldest = select(of.number, of.ts_recv_ns).where(of.account_id == account_id).order_by(of.number).limit(_STEP)
        last = 0
        for row in connection.execute(oldest):
            if row.number >= keep_from and row.ts_recv_ns >= before_ns:
                break
            last = row.number
        if not last:
            return (0,)
        gone = connection.execute(delete(schema.events).where(of.account_id == account_id, of.number <= last))
        return (gone.rowcount,)

    done, fills = repeat(orders)
    stray = _trim_stray_fills(database, exchange, account, before_ns)
    repeat(tombstones)
    return Trimmed(orders=done, fills=fills + stray, requests=repeat(requests)[0], events=repeat(events)[0])


def _trim_stray_fills(database: Database, exchange: str, account: str, before_ns: int) -> int:
    """Delete old fills of orders that the journal never had; return their number.

    Reading transactions search for them, from the oldest recorded fill to the first that is not old.
    """
    of, order = schema.fills.c, schema.orders.c
    known = exists().where(order.account_id == of.account_id, order.client_order_id == of.client_order_id)
    after, gone = 0, 0

    def look(connection: Connection) -> list[Any]:
        row = queries.account_row(connection, exchange, account)
        page = select(of.seq, of.ts_event_ns, known.label("known")).where(of.seq > after)
        page = page.where(of.account_id == (row.id if row else None)).order_by(of.seq).limit(_STEP)
        return list(connection.execute(page))

    while found := database.run(look, write=False):
        after = found[-1].seq
        stray = [row.seq for row in found if row.ts_event_ns < before_ns and not row.known]
        if stray:
            gone += database.run(partial(_delete_keys, key=of.seq, keys=stray), write=True)
        if found[-1].ts_event_ns >= before_ns:
            break
    return gone


def _held(connection: Connection, account_id: int) -> list[str]:
    """Return the client order ids that unresolved requests name."""
    of = schema.requests.c
    named = connection.execute(
        select(of.client_order_ids).where(of.account_id == account_id, of.open == true())
    ).scalars()
    return sorted({name for one in named for name in orjson.loads(one)})


def _delete(connection: Connection, table: Table, account_id: int, ids: list[str]) -> int:
    """Delete the rows of these client order ids; return their number."""
    gone = delete(table).where(table.c.account_id == account_id, table.c.client_order_id.in_(ids))
    return connection.execute(gone).rowcount


def _delete_keys(
    connection: Connection, key: ColumnElement[object], keys: Sequence[object], *where: ColumnElement[bool]
) -> int:
    if not keys:
        return 0
    gone = delete(key.table).where(key.in_(keys), *where)
    return connection.execute(gone).rowcount

"""Turns the writes of one transaction into a few statements, each for many rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Delete,
    Insert,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import ColumnElement, Executable

from ..model.errors import Misconfigured
from ..model.failpoint import reach
from ..model.order import Fill, Order
from . import queries, schema
from .prepared import Row, Transaction
from .writes import (
    UNKNOWN,
    CloseRequest,
    MoveFills,
    PutBalances,
    PutCursor,
    PutEvent,
    PutFill,
    PutMark,
    PutOrder,
    PutOwner,
    PutPause,
    PutRequest,
    PutSeen,
    PutTombstone,
    Write,
)

DIALECTS = ("sqlite", "postgresql")


def text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _insert(dialect: str, table: Table) -> Any:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def put(dialect: str, table: Table, key: Sequence[str], where: ColumnElement[bool] | None = None) -> Any:
    """Return an insert that updates all other columns if the key exists."""
    statement = _insert(dialect, table)
    others = {
        column.name: statement.excluded[column.name]
        for column in table.columns
        if column.name not in key and column.name != "seq"
    }
    return statement.on_conflict_do_update(index_elements=list(key), set_=others, where=where)


def put_new(dialect: str, table: Table, key: Sequence[str]) -> Any:
    """Return an insert that leaves an existing row unchanged."""
    return _insert(dialect, table).on_conflict_do_nothing(index_elements=list(key))


class Statements:
    """The statements of a commit in one dialect; see `statements`."""

    def __init__(self, dialect: str) -> None:
        account, done = schema.accounts.c, schema.batches.c
        self.account = queries.ACCOUNT if dialect == "sqlite" else queries.LOCKED_ACCOUNT  # BEGIN IMMEDIATE has locked
        self.counters = (
            update(schema.accounts)
            .where(account.id == bindparam("of_account"))
            .values(next_event=bindparam("next_event"), batches=bindparam("batches"))
        )
        self.advance = self.counters.where(  # and check the fence; no row: another writer, or another epoch
            account.epoch == bindparam("of_epoch"),
            account.next_event == bindparam("was_next"),
            account.batches == bindparam("was_batches"),
        )
        self.seen = (
            update(schema.accounts).where(account.id == bindparam("of_account")).values(seen_ns=bindparam("seen_ns"))
        )
        self.batch = put_new(dialect, schema.batches, ("account_id", "id"))
        self.done = select(done.id, done.first_event, done.events).where(
            done.account_id == bindparam("of_account"), done.id.in_(bindparam("ids", expanding=True))
        )
        self.old_batches = delete(schema.batches).where(
            done.account_id == bindparam("of_account"), done.number <= bindparam("last")
        )
        self.order = put(dialect, schema.orders, ("account_id", "client_order_id"))
        self.transition = _transition()
        fill, known = _insert(dialect, schema.fills), schema.fills.c.fee
        is_zero = and_(
            func.trim(known, literal_column("'-0.'")) == literal_column("''"), schema.fills.c.more_fees.is_(None)
        )
        self.fill = fill.on_conflict_do_update(
            index_elements=["account_id", "pair", "trade_id", "exchange_order_id"],
            set_={name: fill.excluded[name] for name in ("fee", "fee_asset", "more_fees")},
            where=and_(fill.excluded.fee.is_not(None), or_(known.is_(None), is_zero)),
        )
        held = schema.fills.c
        self.move_fills = (
            update(schema.fills)
            .where(
                held.account_id == bindparam("of_account"),
                held.pair == bindparam("of_pair"),
                held.exchange_order_id == bindparam("of_order"),
            )
            .values(client_order_id=bindparam("to_order"))
        )
        self.request = put_new(dialect, schema.requests, ("account_id", "request_id"))
        of = schema.requests.c
        self.close = (
            update(schema.requests)
            .where(
                of.account_id == bindparam("of_account"), of.request_id == bindparam("of_request"), of.open == true()
            )
            .values(outcome=bindparam("outcome"), closed_ns=bindparam("closed_ns"), open=bindparam("open"))
        )
        self.event = schema.events.insert()
        self.balance = schema.balances.insert()
        self.old_balances = _old_balances()
        forward = _insert(dialect, schema.cursors)
        self.cursor = forward.on_conflict_do_update(
            index_elements=["account_id", "name"],
            set_={"number": forward.excluded.number},
            where=schema.cursors.c.number < forward.excluded.number,
        )
        self.pause = put(dialect, schema.pauses, ("account_id", "scope"))
        self.no_pause = _remove(schema.pauses, schema.pauses.c.scope)
        self.owner = put(dialect, schema.owners, ("account_id", "owner"))
        self.mark = put(dialect, schema.marks, ("account_id", "name"))
        self.no_mark = _remove(schema.marks, schema.marks.c.name)
        self.tombstone = put_new(dialect, schema.tombstones, ("account_id", "client_order_id"))


@cache
def statements(dialect: str) -> Statements:
    """Return the statements of one of `DIALECTS`, built once in a process, because building one costs as much as
    executing it."""
    return Statements(dialect)


def _transition() -> Insert:
    """Return the insert of a change of status. `before` None: the order's status in the journal, None for a new order;
    nothing is inserted if it is the same."""
    of, held = schema.transitions, schema.orders.c
    of_order = (held.account_id == bindparam("of_account"), held.client_order_id == bindparam("of_order"))
    current = select(held.status).where(*of_order).scalar_subquery()
    before, after = func.coalesce(bindparam("known", type_=Text), current), bindparam("after", type_=Text)
    columns: dict[Any, ColumnElement[Any]] = {
        of.c.account_id: bindparam("of_account", type_=BigInteger),
        of.c.client_order_id: bindparam("of_order", type_=Text),
        of.c.before: before,
        of.c.after: after,
        of.c.step: bindparam("step", type_=Text),
        of.c.ts_ns: bindparam("ts_ns", type_=BigInteger),
        of.c.reason: bindparam("reason", type_=Text),
    }
    values: list[Any] = list(columns.values())
    changed = select(*values).where(before.is_distinct_from(after))
    return of.insert().from_select([column.name for column in columns], changed)


def _remove(table: Table, key: ColumnElement[str]) -> Delete:
    return delete(table).where(table.c.account_id == bindparam("of_account"), key == bindparam("of_name"))


def _old_balances() -> Delete:
    """Return the statement that deletes all but the last `schema.BALANCES_KEPT` snapshots."""
    of, own = schema.balances.c, schema.balances.alias().c
    newest = select(own.seq).where(own.account_id == bindparam("of_account")).order_by(own.seq.desc())
    one: ColumnElement[int] = literal_column("1")
    before: ColumnElement[int] = literal_column(str(schema.BALANCES_KEPT - 1))
    oldest_kept = newest.limit(one).offset(before).scalar_subquery()
    return delete(schema.balances).where(of.account_id == bindparam("of_account"), of.seq < oldest_kept)


class Changes:
    """All changes of one transaction on one account, except to the account's counters."""

    def __init__(self, exchange: str, account: str, account_id: int, epoch: int, next_event: int) -> None:
        self.next_event = next_event
        self._exchange = exchange
        self._account = account
        self._id = account_id
        self._epoch = epoch
        self._plain: dict[int, dict[str, Any]] = {}  # orders and fills as plain values: an event often repeats one
        self._puts: list[PutOrder] = []
        self._fills: list[Row] = []
        self._moved: list[Row] = []
        self._requests: list[Row] = []
        self._closes: list[Row] = []
        self._events: list[Row] = []
        self._balances: list[Row] = []
        self._cursors: list[Row] = []
        self._tombstones: list[Row] = []
        self._seen: list[Row] = []  # at most one
        self._pauses: dict[str, Row | None] = {}
        self._owners: dict[str, Row] = {}
        self._marks: dict[str, Row | None] = {}

    def add(self, writes: Iterable[Write]) -> list[int]:
        """Add the writes of one batch; return the numbers of its events."""
        first = self.next_event
        for write in writes:
            self._ADD[type(write)](self, write)
        return list(range(first, self.next_event))

    def flush(self, transaction: Transaction, statements: Statements) -> None:
        """Execute the added writes."""
        orders, transitions = self._orders()
        named = [{"of_account": self._id}] if self._balances else []
        plan: list[tuple[Executable, Sequence[Row]]] = [
            (statements.transition, transitions),  # reads the orders' earlier statuses
            (statements.order, orders),
            (statements.fill, self._fills),
            (statements.move_fills, self._moved),
            (statements.request, self._requests),
            (statements.close, self._closes),
            (statements.event, self._events),
            (statements.balance, self._balances),
            (statements.cursor, self._cursors),
            (statements.tombstone, self._tombstones),
            (statements.owner, list(self._owners.values())),
            (statements.pause, [row for row in self._pauses.values() if row is not None]),
            (statements.mark, [row for row in self._marks.values() if row is not None]),
            (statements.no_pause, self._gone(self._pauses)),
            (statements.no_mark, self._gone(self._marks)),
            (statements.old_balances, named),
            (statements.seen, self._seen),
        ]
        for statement, rows in plan:
            if rows:
                reach("journal.write")
                transaction.write(statement, rows)

    def _gone(self, rows: Mapping[str, Row | None]) -> list[Row]:
        return [{"of_account": self._id, "of_name": name} for name, row in rows.items() if row is None]

    # ------------------------------------------------------------------ one kind of write each

    def _put_order(self, write: PutOrder) -> None:
        self._check(write.order.exchange, write.order.account)
        self._puts.append(write)

    def _put_fill(self, write: PutFill) -> None:
        row = self._row(write.fill)
        row["more_fees"] = text(row["more_fees"]) if row["more_fees"] else None
        self._fills.append(row)

    def _move_fills(self, write: MoveFills) -> None:
        self._moved.append(
            {
                "of_account": self._id,
                "of_pair": write.pair,
                "of_order": write.exchange_order_id,
                "to_order": write.client_order_id,
            }
        )

    def _put_request(self, write: PutRequest) -> None:
        self._requests.append(
            {
                "account_id": self._id,
                "request_id": write.request_id,
                "kind": write.kind,
                "client_order_ids": text(write.client_order_ids),
                "text": write.text,
                "digest": write.digest,
                "not_after_ns": write.not_after_ns,
                "created_ns": write.created_ns,
                "epoch": self._epoch,
                "outcome": None,
                "closed_ns": None,
                "open": True,
            }
        )

    def _close_request(self, write: CloseRequest) -> None:
        self._closes.append(
            {
                "of_account": self._id,
                "of_request": write.request_id,
                "outcome": write.outcome,
                "closed_ns": write.ts_ns,
                "open": write.outcome == UNKNOWN,
            }
        )

    def _put_event(self, write: PutEvent) -> None:
        event = write.event
        self._check(event.exchange, event.account)
        order, fill = (None if one is None else self._values(one) for one in (event.order, event.fill))
        body = event.plain(order, fill)
        body["number"] = self.next_event
        pair = event.pair or (event.order and event.order.pair) or (event.fill and event.fill.pair) or None
        self._events.append(
            {
                "account_id": self._id,
                "number": self.next_event,
                "type": event.type.value,
                "ts_recv_ns": event.ts_recv_ns,
                "ts_event_ns": event.ts_event_ns,
                "pair": pair,
                "client_order_id": event.client_order_id or (event.fill and event.fill.client_order_id) or None,
                "owner": event.owner,
                "body": text(body),
            }
        )
        self.next_event += 1

    def _put_balances(self, write: PutBalances) -> None:
        body = {asset: (f"{free:f}", f"{locked:f}") for asset, (free, locked) in write.balances.items()}
        self._balances.append({"account_id": self._id, "ts_ns": write.ts_ns, "body": text(body)})

    def _put_cursor(self, write: PutCursor) -> None:
        self._cursors.append({"account_id": self._id, "name": write.name, "number": write.number})

    def _put_pause(self, write: PutPause) -> None:
        row = {"account_id": self._id, "scope": write.scope, "reason": write.reason, "ts_ns": write.ts_ns}
        self._pauses[write.scope] = None if write.reason is None else row

    def _put_owner(self, write: PutOwner) -> None:
        row = {"account_id": self._id, "owner": write.owner, "on_death": write.on_death, "ts_ns": write.ts_ns}
        self._owners[write.owner] = row

    def _put_mark(self, write: PutMark) -> None:
        row = {"account_id": self._id, "name": write.name, "text": write.text}
        self._marks[write.name] = None if write.text is None else row

    def _put_tombstone(self, write: PutTombstone) -> None:
        row = {"account_id": self._id, "client_order_id": write.client_order_id, "ts_ns": write.ts_ns}
        self._tombstones.append(row)

    def _put_seen(self, write: PutSeen) -> None:
        self._seen = [{"of_account": self._id, "seen_ns": write.ts_ns}]

    _ADD: Mapping[type, Callable[[Changes, Any], None]] = {
        PutOrder: _put_order,
        PutFill: _put_fill,
        MoveFills: _move_fills,
        PutRequest: _put_request,
        CloseRequest: _close_request,
        PutEvent: _put_event,
        PutBalances: _put_balances,
        PutCursor: _put_cursor,
        PutPause: _put_pause,
        PutOwner: _put_owner,
        PutMark: _put_mark,
        PutTombstone: _put_tombstone,
        PutSeen: _put_seen,
    }

    # ------------------------------------------------------------------ rows

    def _check(self, exchange: str, account: str) -> None:
        if (exchange, account) != (self._exchange, self._account):
            raise Misconfigured(
                f"journal of {self._exchange}/{self._account}", f"a record belongs to {exchange}/{account}"
            )

    def _values(self, record: Order | Fill) -> dict[str, Any]:
        """Return `record.to_dict()`, made once; the writes keep the record until the transaction ends."""
        found = self._plain.get(id(record))
        if found is None:
            found = self._plain[id(record)] = record.to_dict()
        return found

    def _row(self, record: Order | Fill) -> dict[str, Any]:
        return {**self._values(record), "account_id": self._id}

    def _order_row(self, order: Order) -> Row:
        row = self._row(order)
        del row["exchange"], row["account"]
        row["fees"] = text(row["fees"])
        row["open"] = not order.is_done
        return row

    def _orders(self) -> tuple[list[Row], list[Row]]:
        """Return the last state of each order, and its changes of status before that."""
        last: dict[str, Order] = {}
        transitions: list[Row] = []
        for one in self._puts:
            order, earlier = one.order, last.get(one.order.client_order_id)
            last[order.client_order_id] = order
            if earlier is not None and earlier.status is order.status:
                continue
            transitions.append(
                {
                    "of_account": self._id,
                    "of_order": order.client_order_id,
                    "known": None if earlier is None else earlier.status.value,
                    "after": order.status.value,
                    "step": one.step,
                    "ts_ns": one.ts_ns,
                    "reason": order.reason,
                }
            )
        return [self._order_row(order) for order in last.values()], transitions

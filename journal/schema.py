"""The journal's tables, the same on SQLite and PostgreSQL. Every change needs a new file in `migrations/`.

Times and numbers are 64-bit integers, decimals are text in plain notation: exact on both databases, and readable in any
SQL shell. Values that are searched have columns; `events.body` and `balances.body` are JSON and never searched.

    accounts     one row per account: its epoch (the fence), the next event number, the number of committed batches,
                 the lineage that names this sequence of events, the mesh that holds the account and when it stated so
    orders       the current state of each order; `seq` is the sequence of arrival and the key of pages
    transitions  every change of an order's status
    fills        identified by (pair, trade_id, exchange_order_id): two own orders that meet share a trade id
    requests     intents, journaled before they are sent; `open` while their outcome is unknown
    events       numbered per account without a gap; the oldest are trimmed
    balances     the last snapshots
    cursors, pauses, owners, marks, tombstones      small named values of an account
    batches      ids and event numbers of the last batches: a repeated batch is answered, not applied
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    false,
    true,
)

HEAD = "0005"
KNOWN = ("0001", "0002", "0003", "0004", "0005")
"""Versions of the schema from which this code can migrate; the last is `HEAD`. A test compares them with the files."""
BALANCES_KEPT = 100
BATCHES_KEPT = 1000

metadata = MetaData()
_Key = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER PRIMARY KEY is SQLite's row id


def _account() -> Column[int]:
    return Column("account_id", _Key, ForeignKey("accounts.id"), nullable=False)


def _text(name: str, *, empty: bool = True) -> Column[str]:
    return Column(name, Text, nullable=empty)


def _number(name: str, *, empty: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=empty)


accounts = Table(
    "accounts",
    metadata,
    Column("id", _Key, primary_key=True),
    _text("exchange", empty=False),
    _text("account", empty=False),
    _number("epoch"),
    _text("holder", empty=False),
    _number("taken_ns"),
    _number("next_event"),
    _number("batches"),
    Column("lineage", Text, nullable=False, server_default=""),
    Column("mesh", Text, nullable=False, server_default=""),
    Column("seen_ns", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("exchange", "account", name="uq_accounts"),
)

orders = Table(
    "orders",
    metadata,
    Column("seq", _Key, primary_key=True),
    _account(),
    _text("client_order_id", empty=False),
    _text("pair", empty=False),
    _text("side", empty=False),
    _text("order_type", empty=False),
    _text("amount"),
    _text("price"),
    _text("time_in_force"),
    _text("status", empty=False),
    _number("created_ns"),
    _number("updated_ns"),
    _text("quote_amount"),
    _text("stop_price"),
    _text("self_trade"),
    _text("owner", empty=False),
    _text("exchange_order_id"),
    _text("list_id"),
    _text("filled", empty=False),
    _text("quote_filled", empty=False),
    _text("fees", empty=False),
    Column("external", Boolean, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    _text("code"),
    _text("reason"),
    Column("open", Boolean, nullable=False),
    UniqueConstraint("account_id", "client_order_id", name="uq_orders"),
)
_open, _done = orders.c.open == true(), orders.c.open == false()
Index("ix_orders_account", orders.c.account_id, orders.c.seq)
Index("ix_orders_exchange_id", orders.c.account_id, orders.c.pair, orders.c.exchange_order_id)
Index("ix_orders_open", orders.c.account_id, orders.c.seq, sqlite_where=_open, postgresql_where=_open)
Index("ix_orders_done", orders.c.account_id, orders.c.updated_ns, sqlite_where=_done, postgresql_where=_done)

transitions = Table(
    "transitions",
    metadata,
    Column("seq", _Key, primary_key=True),
    _account(),
    _text("client_order_id", empty=False),
    _text("before"),
    _text("after", empty=False),
    _text("step", empty=False),
    _number("ts_ns"),
    _text("reason"),
)
Index("ix_transitions_order", transitions.c.account_id, transitions.c.client_order_id)

fills = Table(
    "fills",
    metadata,
    Column("seq", _Key, primary_key=True),
    _account(),
    _text("pair", empty=False),
    _text("trade_id", empty=False),
    _text("client_order_id", empty=False),
    _text("exchange_order_id", empty=False),
    _text("side", empty=False),
    _text("price", empty=False),
    _text("amount", empty=False),
    _text("quote_amount", empty=False),
    _text("fee"),
    _text("fee_asset"),
    Column("is_maker", Boolean, nullable=False),
    _number("ts_event_ns"),
    _number("ts_recv_ns"),
    _text("more_fees"),
    UniqueConstraint("account_id", "pair", "trade_id", "exchange_order_id", name="uq_fills"),
)
Index("ix_fills_account", fills.c.account_id, fills.c.seq)
Index("ix_fills_order", fills.c.account_id, fills.c.client_order_id)
_bare = fills.c.fee.is_(None)
Index("ix_fills_without_fee", fills.c.account_id, fills.c.seq, sqlite_where=_bare, postgresql_where=_bare)

requests = Table(
    "requests",
    metadata,
    Column("seq", _Key, primary_key=True),
    _account(),
    _text("request_id", empty=False),
    _text("kind", empty=False),
    _text("client_order_ids", empty=False),
    _text("text", empty=False),
    _text("digest", empty=False),
    _number("not_after_ns"),
    _number("created_ns"),
    _number("epoch"),
    _text("outcome"),
    _number("closed_ns", empty=True),
    Column("open", Boolean, nullable=False),
    UniqueConstraint("account_id", "request_id", name="uq_requests"),
)
_open, _done = requests.c.open == true(), requests.c.open == false()
Index("ix_requests_open", requests.c.account_id, requests.c.seq, sqlite_where=_open, postgresql_where=_open)
Index("ix_requests_done", requests.c.account_id, requests.c.closed_ns, sqlite_where=_done, postgresql_where=_done)

events = Table(
    "events",
    metadata,
    _account(),
    _number("number"),
    _text("type", empty=False),
    _number("ts_recv_ns"),
    _number("ts_event_ns", empty=True),
    _text("pair"),
    _text("client_order_id"),
    _text("owner"),
    _text("body", empty=False),
    PrimaryKeyConstraint("account_id", "number", name="pk_events"),
)

balances = Table(
    "balances",
    metadata,
    Column("seq", _Key, primary_key=True),
    _account(),
    _number("ts_ns"),
    _text("body", empty=False),
)
Index("ix_balances", balances.c.account_id, balances.c.seq)

cursors = Table(
    "cursors",
    metadata,
    _account(),
    _text("name", empty=False),
    _number("number"),
    PrimaryKeyConstraint("account_id", "name", name="pk_cursors"),
)

pauses = Table(
    "pauses",
    metadata,
    _account(),
    _text("scope", empty=False),
    _text("reason", empty=False),
    _number("ts_ns"),
    PrimaryKeyConstraint("account_id", "scope", name="pk_pauses"),
)

owners = Table(
    "owners",
    metadata,
    _account(),
    _text("owner", empty=False),
    _text("on_death", empty=False),
    _number("ts_ns"),
    PrimaryKeyConstraint("account_id", "owner", name="pk_owners"),
)

marks = Table(
    "marks",
    metadata,
    _account(),
    _text("name", empty=False),
    _text("text", empty=False),
    PrimaryKeyConstraint("account_id", "name", name="pk_marks"),
)

tombstones = Table(
    "tombstones",
    metadata,
    _account(),
    _text("client_order_id", empty=False),
    _number("ts_ns"),
    PrimaryKeyConstraint("account_id", "client_order_id", name="pk_tombstones"),
)
Index("ix_tombstones", tombstones.c.account_id, tombstones.c.ts_ns)

batches = Table(
    "batches",
    metadata,
    _account(),
    _text("id", empty=False),
    _number("number"),
    _number("first_event"),
    _number("events"),
    PrimaryKeyConstraint("account_id", "id", name="pk_batches"),
)
Index("ix_batches", batches.c.account_id, batches.c.number)

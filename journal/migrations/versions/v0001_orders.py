"""The first version: accounts, orders and their records. Frozen: a later change needs another file."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", KEY, nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("taken_ns", sa.BigInteger(), nullable=False),
        sa.Column("next_event", sa.BigInteger(), nullable=False),
        sa.Column("batches", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("exchange", "account", name="uq_accounts"),
    )
    op.create_table(
        "balances",
        sa.Column("seq", KEY, nullable=False),
        sa.Column("account_id", KEY, nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("ix_balances", "balances", ["account_id", "seq"])
    op.create_table(
        "batches",
        sa.Column("account_id", KEY, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("first_event", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("account_id", "id", name="pk_batches"),
    )
    op.create_index("ix_batches", "batches", ["account_id", "number"])
    op.create_table(
        "cursors",
        sa.Column("account_id", KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("account_id", "name", name="pk_cursors"),
    )
    op.create_table(
        "events",
        sa.Column("account_id", KEY, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("ts_recv_ns", sa.BigInteger(), nullable=False),
        sa.Column("ts_event_ns", sa.BigInteger()),
        sa.Column("pair", sa.Text()),
        sa.Column("client_order_id", sa.Text()),
        sa.Column("owner", sa.Text()),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("account_id", "number", name="pk_events"),
    )
    op.create_table(
        "fills",
        sa.Column("seq", KEY, nullable=False),
        sa.Column("account_id", KEY, nullable=False),
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("trade_id", sa.Text(), nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("exchange_order_id", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("price", sa.Text(), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("quote_amount", sa.Text(), nullable=False),
        sa.Column("fee", sa.Text()),
        sa.Column("fee_asset", sa.Text()),
        sa.Column("is_maker", sa.Boolean(), nullable=False),
        sa.Column("ts_event_ns", sa.BigInteger(), nullable=False),
        sa.Column("ts_recv_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("account_id", "pair", "trade_id", name="uq_fills"),
    )
    op.create_index("ix_fills_account", "fills", ["account_id", "seq"])
    op.create_index("ix_fills_order", "fills", ["account_id", "client_order_id"])
    op.create_table(
        "marks",
        sa.Column("account_id", KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("account_id", "name", name="pk_marks"),
    )
    op.create_table(
        "orders",
        sa.Column("seq", KEY, nullable=False),
        sa.Column("account_id", KEY, nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("order_type", sa.Text(), nullable=False),
        sa.Column("amount", sa.Text()),
        sa.Column("price", sa.Text()),
        sa.Column("time_in_force", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.Column("quote_amount", sa.Text()),
        sa.Column("stop_price", sa.Text()),
        sa.Column("self_trade", sa.Text()),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("exchange_order_id", sa.Text()),
        sa.Column("list_id", sa.Text()),
        sa.Column("filled", sa.Text(), nullable=False),
        sa.Column("quote_filled", sa.Text(), nullable=False),
        sa.Column("fees", sa.Text(), nullable=False),
        sa.Column("external", sa.Boolean(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("code", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("account_id", "client_order_id", name="uq_orders"),
    )
    op.create_index(
        "ix_orders_done",
        "orders",
        ["account_id", "updated_ns"],
        sqlite_where=sa.text("open = 0"),
        postgresql_where=sa.text("open = false"),
    )
    op.create_index("ix_orders_account", "orders", ["account_id", "seq"])
    op.create_index("ix_orders_exchange_id", "orders", ["account_id", "pair", "exchange_order_id"])
    op.create_index(
        "ix_orders_open",
        "orders",
        ["account_id", "seq"],
        sqlite_where=sa.text("open = 1"),
        postgresql_where=sa.text("open = true"),
    )
    op.create_table(
        "owners",
        sa.Column("account_id", KEY, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("on_death", sa.Text(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("account_id", "owner", name="pk_owners"),
    )
    op.create_table(
        "pauses",
        sa.Column("account_id", KEY, nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("account_id", "scope", name="pk_pauses"),
    )
    op.create_table(
        "requests",
        sa.Column("seq", KEY, nullable=False),
        sa.Column("account_id", KEY, nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("client_order_ids", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("not_after_ns", sa.BigInteger(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("closed_ns", sa.BigInteger()),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("account_id", "request_id", name="uq_requests"),
    )
    op.create_index(
        "ix_requests_done",
        "requests",
        ["account_id", "closed_ns"],
        sqlite_where=sa.text("open = 0"),
        postgresql_where=sa.text("open = false"),
    )
    op.create_index(
        "ix_requests_open",
        "requests",
        ["account_id", "seq"],
        sqlite_where=sa.text("open = 1"),
        postgresql_where=sa.text("open = true"),
    )
    op.create_table(
        "tombstones",
        sa.Column("account_id", KEY, nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("account_id", "client_order_id", name="pk_tombstones"),
    )
    op.create_index("ix_tombstones", "tombstones", ["account_id", "ts_ns"])
    op.create_table(
        "transitions",
        sa.Column("seq", KEY, nullable=False),
        sa.Column("account_id", KEY, nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("before", sa.Text()),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("ix_transitions_order", "transitions", ["account_id", "client_order_id"])

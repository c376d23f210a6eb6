"""Add the order to the key of a fill, because two own orders that trade with each other share one trade id."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("fills") as table:
        table.drop_constraint("uq_fills", type_="unique")
        table.create_unique_constraint("uq_fills", ["account_id", "pair", "trade_id", "exchange_order_id"])

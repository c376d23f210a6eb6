"""Index the fills without a fee, because a manager starts with them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    bare = sa.text("fee IS NULL")
    op.create_index("ix_fills_without_fee", "fills", ["account_id", "seq"], sqlite_where=bare, postgresql_where=bare)

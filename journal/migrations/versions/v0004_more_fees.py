"""Add the fees of a fill besides its first one, as JSON: [[asset, amount], ...], or NULL for none."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("fills", sa.Column("more_fees", sa.Text()))

"""Add an account's lineage, and the mesh that holds it with the time when it last stated so.

An account of an older journal gets its lineage when it is taken.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("lineage", sa.Text(), nullable=False, server_default=""))
    op.add_column("accounts", sa.Column("mesh", sa.Text(), nullable=False, server_default=""))
    op.add_column("accounts", sa.Column("seen_ns", sa.BigInteger(), nullable=False, server_default="0"))

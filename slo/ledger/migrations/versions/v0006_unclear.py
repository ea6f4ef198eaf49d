"""Requests that may be good, where the limit lies between two bucket bounds. What was counted before is exact: 0."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column to the slots and to their sums."""
    for table in ("slots", "rollups"):
        op.add_column(table, sa.Column("unclear", sa.BigInteger, nullable=False, server_default="0"))

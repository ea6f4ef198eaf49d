"""Tenants that have a budget of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the table; the next ingest counts tenants as far back as the source remembers."""
    op.create_table(
        "tenants",
        sa.Column("key", sa.String(41), primary_key=True),
        sa.Column("objective", sa.String(63), nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
    )
    op.create_index("tenants_objective", "tenants", ["objective"])

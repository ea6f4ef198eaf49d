"""The first ledger. Its tables may be there already, from before databases had a version: then they stay as they are."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create what is missing."""
    op.create_table(
        "slots",
        sa.Column("objective", sa.String(63), primary_key=True),
        sa.Column("slot", sa.BigInteger, primary_key=True),
        sa.Column("good", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("covered_seconds", sa.Float, nullable=False),
        sa.Column("spec_hash", sa.String(12), nullable=False),
        sa.Column("source", sa.String(63), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "progress",
        sa.Column("objective", sa.String(63), primary_key=True),
        sa.Column("booked_until", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "recommendations",
        sa.Column("pool", sa.String(63), primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "scraped_series",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_index("scraped_series_identity", "scraped_series", ["name", "labels"], unique=True, if_not_exists=True)
    op.create_table(
        "scraped_samples",
        sa.Column("series", sa.Integer, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, primary_key=True),
        sa.Column("value", sa.Float, nullable=False),
        if_not_exists=True,
    )
    op.create_index("scraped_samples_time", "scraped_samples", ["at_ms"], if_not_exists=True)

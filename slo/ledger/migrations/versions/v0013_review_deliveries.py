"""Deliveries of weekly reviews to their receivers, so that each is sent once whichever service leads."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "review_deliveries",
        sa.Column("week", sa.String(8), primary_key=True),
        sa.Column("receiver", sa.String(200), primary_key=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_attempt_at", sa.Float, nullable=False),
        sa.Column("delivered_at", sa.Float),
    )

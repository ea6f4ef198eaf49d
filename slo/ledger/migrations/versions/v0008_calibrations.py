"""What each pool's own step times are, as they were last fitted."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the table; the service fits each pool soon after its start."""
    op.create_table(
        "calibrations",
        sa.Column("pool", sa.String(63), primary_key=True),
        sa.Column("looked_at", sa.Float, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("body", sa.Text),
    )

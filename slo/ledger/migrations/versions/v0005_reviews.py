"""Weekly reviews, kept as they were made."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table; the service makes the last week's review soon after its start."""
    op.create_table(
        "reviews",
        sa.Column("week", sa.String(8), primary_key=True),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )

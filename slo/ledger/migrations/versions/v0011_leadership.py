"""Which service leads, until when by the database's clock, and an identity of the ledger itself."""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Create the table with its only row: nobody leads."""
    table = op.create_table(
        "leadership",
        sa.Column("ledger", sa.String(36), primary_key=True),
        sa.Column("holder", sa.String(200), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("renewals", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
    )
    op.bulk_insert(table, [{"ledger": str(uuid4()), "holder": "", "epoch": 0, "renewals": 0, "expires_at": 0.0}])

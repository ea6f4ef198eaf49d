"""Tokens by tenant and LoRA adapter."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Create the table; tokens are counted from the next ingest on."""
    op.create_table(
        "token_slots",
        sa.Column("pool", sa.String(63), primary_key=True),
        sa.Column("slot", sa.BigInteger, primary_key=True),
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("adapter", sa.Text, primary_key=True),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("scrapes", sa.BigInteger, nullable=False),
    )

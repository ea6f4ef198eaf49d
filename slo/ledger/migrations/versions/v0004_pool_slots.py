"""What each pool did in every slot, beside the objectives' slots."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

COUNTS = (
    *("arrivals", "finished", "errors", "refused", "abandoned_queued", "abandoned_streaming"),
    *("prompt_tokens", "generation_tokens", "preemptions", "gone"),
)
GAUGES = ("queue_max", "queue_mean", "kv_max", "kv_mean", "replicas", "nodes", "energy_joules")


def upgrade() -> None:
    """Create both tables; the next ingest fills them as far back as the source remembers."""
    op.create_table(
        "pool_slots",
        sa.Column("pool", sa.String(63), primary_key=True),
        sa.Column("slot", sa.BigInteger, primary_key=True),
        sa.Column("covered_ms", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.BigInteger) for name in COUNTS),
        *(sa.Column(name, sa.Float) for name in GAUGES),
        sa.Column("simulated", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pool_progress",
        sa.Column("pool", sa.String(63), primary_key=True),
        sa.Column("booked_until", sa.BigInteger, nullable=False),
    )

"""Coverage in whole milliseconds (sums of floats depend on their order), and sums over hours and days beside the slots."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

SLOTS = """
INSERT INTO exact_slots (objective, slot, good, total, covered_ms, spec_hash, source)
SELECT objective, slot, good, total, CAST(ROUND(covered_seconds * 1000) AS BIGINT), spec_hash, source FROM slots
"""
ROLLUPS = """
INSERT INTO rollups (objective, size, start, good, total, covered_ms, simulated)
SELECT objective, {size}, slot - slot % {size}, SUM(good), SUM(total), SUM(covered_ms),
       MAX(CASE WHEN source LIKE '%simulated%' THEN 1 ELSE 0 END)
FROM slots GROUP BY objective, slot - slot % {size}
"""


def upgrade() -> None:
    """Rewrite the slots, then sum them."""
    op.create_table(
        "exact_slots",
        sa.Column("objective", sa.String(63), primary_key=True),
        sa.Column("slot", sa.BigInteger, primary_key=True),
        sa.Column("good", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("covered_ms", sa.BigInteger, nullable=False),
        sa.Column("spec_hash", sa.String(12), nullable=False),
        sa.Column("source", sa.String(63), nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(SLOTS)
    op.drop_table("slots")
    op.rename_table("exact_slots", "slots")
    op.create_table(
        "rollups",
        sa.Column("objective", sa.String(63), primary_key=True),
        sa.Column("size", sa.Integer, primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True),
        sa.Column("good", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("covered_ms", sa.BigInteger, nullable=False),
        sa.Column("simulated", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    for size in (3600, 86400):
        op.execute(ROLLUPS.format(size=size))

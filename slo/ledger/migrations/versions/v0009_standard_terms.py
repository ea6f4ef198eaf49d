"""Standard terms for columns, kinds of evidence and the keys of stored recommendations; no number changes."""

from alembic import op

revision = "0009"
down_revision = "0008"

COLUMNS = {
    "slots": {"unclear": "indeterminate"},
    "rollups": {"unclear": "indeterminate"},
    "pool_slots": {
        "refused": "rejected",
        "prompt_tokens": "input_tokens",
        "generation_tokens": "output_tokens",
        "gone": "replica_disruptions",
        "queue_max": "waiting_max",
        "queue_mean": "waiting_mean",
        "kv_max": "kv_cache_usage_max",
        "kv_mean": "kv_cache_usage_mean",
    },
    "pool_progress": {"booked_until": "recorded_until"},
    "progress": {"booked_until": "recorded_until"},
    "exclusions": {"who": "created_by", "why": "reason", "withdrawn_at": "canceled_at"},
    "audit": {"who": "actor", "why": "reason"},
    "reviews": {"made_at": "generated_at"},
    "calibrations": {"looked_at": "last_attempt_at"},
}


def upgrade() -> None:
    """Rename in place: both databases do so without writing rows again."""
    for table, names in COLUMNS.items():
        for old, new in names.items():
            op.alter_column(table, old, new_column_name=new)

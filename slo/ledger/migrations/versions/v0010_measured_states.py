"""Measured state of each pool: the newest, which the next decision needs, and with each recommendation, for reviews of the past."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Create the table, and take the state of stored recommendations from their evidence."""
    op.create_table(
        "measured_states",
        sa.Column("pool", sa.String(63), primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.add_column("recommendations", sa.Column("measured_state", sa.Text))
    stored = sa.table("recommendations", *map(sa.column, ("pool", "at", "body", "measured_state")))
    connection = op.get_bind()
    for pool, at, body in connection.execute(sa.select(stored.c.pool, stored.c.at, stored.c.body)).all():
        state = state_of(json.loads(body))
        if state is not None:
            same = (stored.c.pool == pool) & (stored.c.at == at)
            connection.execute(sa.update(stored).where(same).values(measured_state=state))


def state_of(body: dict[str, Any]) -> str | None:
    """Return what a stored recommendation measured, as JSON text; None where it measured nothing."""
    evidence, nodes = body.get("evidence") or {}, body.get("recommended_nodes")
    typical = evidence.get("saturation_tokens_per_second_new_replica")
    if not typical or nodes is None:
        return None
    rates = evidence.get("saturation_tokens_per_second_by_replica") or {}
    own = ("measured", "measured_earlier")
    origins = evidence.get("saturation_source_by_replica") or {}
    measured = {name: rate for name, rate in rates.items() if origins.get(name) in own}
    throughput = {"typical": typical, "measured": measured, "present": list(rates), "origins": origins}
    return json.dumps({"at": body["at"], "recommended_nodes": nodes, "throughput": throughput})

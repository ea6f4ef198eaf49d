"""Rows that can be, by CHECK constraints; how much each slot was counted from; definitions of SLOs.

A row of an older ledger that can't be (more good than total requests, a time off the grid) moves to `impossible_rows`, as JSON: it is kept, and
its slot is unknown from then on. Sums over hours and days with such slots are made again from the slots that stay.
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

COUNTS = "good >= 0 AND indeterminate >= 0 AND good <= total - indeterminate AND total <= {most}"
MEASURED = (
    *("arrivals", "finished", "errors", "rejected", "abandoned_queued", "abandoned_streaming", "input_tokens"),
    *("output_tokens", "preemptions", "waiting_max", "waiting_mean", "kv_cache_usage_max", "kv_cache_usage_mean"),
    *("replicas", "nodes", "replica_disruptions", "energy_joules"),
)
LEAST, MOST = {"arrivals": -(10**12)}, {"kv_cache_usage_max": 1.01, "kv_cache_usage_mean": 1.01}
TIME = "slot >= 0 AND slot = slot / 300 * 300 AND covered_ms >= 0 AND covered_ms <= 300000"
CHECKS = {
    "slots": f"{TIME} AND {COUNTS.format(most=10**12)}",
    "rollups": (
        f"start >= 0 AND start = start / size * size AND {COUNTS.format(most='1000000000000 * (size / 300)')} "
        "AND covered_ms >= 0 AND covered_ms <= size * 1000"
    ),
    "pool_slots": " AND ".join(
        (
            TIME,
            *(
                f"({name} IS NULL OR ({name} >= {LEAST.get(name, 0)} AND {name} <= {MOST.get(name, 10**12)}))"
                for name in MEASURED
            ),
            "(errors IS NULL OR finished IS NULL OR errors <= finished)",
        )
    ),
}
KEYS = {"slots": ("objective", "slot"), "rollups": ("objective", "start", "size"), "pool_slots": ("pool", "slot")}
KNOWN = ("slots", "pool_slots")  # tables whose rows say how much they were counted from
HOUR, DAY = 3600, 86400
# The slots that stay of an hour, and the hours that stay of a day.
SUMS = """
INSERT INTO rollups (objective, size, start, good, total, covered_ms, simulated, indeterminate)
SELECT objective, :size, CAST(:start AS BIGINT), SUM(good), SUM(total), SUM(covered_ms), MAX({simulated}), SUM(indeterminate)
FROM {table} WHERE objective = :objective AND {at} >= :start AND {at} < :end {only} GROUP BY objective
"""
SIMULATED = "CASE WHEN source LIKE '%simulated%' THEN 1 ELSE 0 END"
OF_SLOTS = {"table": "slots", "at": "slot", "simulated": SIMULATED, "only": ""}
OF_HOURS = {"table": "rollups", "at": "start", "simulated": "simulated", "only": "AND size = 3600"}


def upgrade() -> None:
    """Set aside what can't be, then let the database refuse it."""
    op.create_table(
        "definitions",
        sa.Column("spec_hash", sa.String(12), primary_key=True),
        sa.Column("counts", sa.Text, nullable=False),
    )
    op.create_table(
        "impossible_rows",
        sa.Column("table", sa.String(31), primary_key=True),
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True),
        sa.Column("size", sa.Integer, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    for table in CHECKS:
        _set_aside(table)
    for table in CHECKS:
        _constrain(table)


def _set_aside(table: str) -> None:
    connection, keys = op.get_bind(), KEYS[table]
    found = connection.execute(sa.text(f"SELECT * FROM {table} WHERE NOT ({CHECKS[table]})")).mappings().all()  # noqa: S608 - constants
    into = sa.table("impossible_rows", *map(sa.column, ("table", "name", "start", "size", "body")))
    same = " AND ".join(f"{key} = :{key}" for key in keys)
    for row in found:
        name, start, *size = (row[key] for key in keys)
        body = json.dumps(dict(row))
        values = {"table": table, "name": name, "start": start, "size": size[0] if size else 300, "body": body}
        connection.execute(sa.insert(into).values(values))
        connection.execute(sa.text(f"DELETE FROM {table} WHERE {same}"), {key: row[key] for key in keys})  # noqa: S608 - constants
    if table == "slots":
        for objective, start in {(row["objective"], row["slot"]) for row in found}:
            _sum_again(objective, int(start))


def _sum_again(objective: str, slot: int) -> None:
    """Make the sums of the hour and the day that hold a slot again. Where nothing of them is left, they go."""
    connection = op.get_bind()
    for size, source in ((HOUR, OF_SLOTS), (DAY, OF_HOURS)):
        start = slot // size * size
        span = {"objective": objective, "size": size, "start": start, "end": start + size}
        gone = sa.text("DELETE FROM rollups WHERE objective = :objective AND size = :size AND start = :start")
        connection.execute(gone, span)
        connection.execute(sa.text(SUMS.format(**source)), span)


def _constrain(table: str) -> None:
    check, known = f"{table}_possible", [sa.Column(name, sa.BigInteger) for name in ("scrapes", "samples")]
    if op.get_bind().dialect.name == "postgresql":
        for column in known if table in KNOWN else ():
            op.add_column(table, column)
        op.create_check_constraint(check, table, sa.text(CHECKS[table]))
        return
    # SQLite adds no constraint to a table: its rows move to a new one.
    old = sa.Table(table, sa.MetaData(), autoload_with=op.get_bind())
    columns = [
        sa.Column(
            one.name, one.type, primary_key=one.primary_key, nullable=one.nullable, server_default=one.server_default
        )
        for one in old.columns
    ]
    added = known if table in KNOWN else []
    constraint = sa.CheckConstraint(sa.text(CHECKS[table]), name=check)
    op.create_table(f"new_{table}", *columns, *added, constraint, sqlite_with_rowid=False)
    names = ", ".join(f'"{one.name}"' for one in columns)
    op.execute(f"INSERT INTO new_{table} ({names}) SELECT {names} FROM {table}")  # noqa: S608 - the table's own names
    op.drop_table(table)
    op.rename_table(f"new_{table}", table)

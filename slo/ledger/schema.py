"""The ledger's tables as they are now; how they came to be is in migrations/, and a test compares the two.

Whatever is summed is a whole number (requests, milliseconds), so sums are exact in any order and by any roll-up.
"""

from typing import Any, get_type_hints

from sqlalchemy import BigInteger, CheckConstraint, Column, Float, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.types import TypeEngine

from plimsoll.slo.ledger.invariants import POOL_CHECK, ROLLUP_CHECK, SLOT_CHECK
from plimsoll.slo.usage.slots import PoolSlot

metadata = MetaData()

# The truth: per objective and slot, what was counted, how much of the slot was covered, under which spec, from what evidence.
# `indeterminate` requests may be good and aren't counted as such: the threshold is between two bucket bounds (plimsoll.slo.sli.bucket_bounds).
# `scrapes` and `samples` decide which of two counts knows more (plimsoll.slo.ledger.invariants).
slots = Table(
    "slots",
    metadata,
    Column("objective", String(63), primary_key=True),
    Column("slot", BigInteger, primary_key=True),
    Column("good", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("covered_ms", BigInteger, nullable=False),
    Column("spec_hash", String(12), nullable=False),
    Column("source", String(63), nullable=False),
    Column("indeterminate", BigInteger, nullable=False, server_default="0"),
    Column("scrapes", BigInteger),
    Column("samples", BigInteger),
    CheckConstraint(SLOT_CHECK, name="slots_possible"),
    sqlite_with_rowid=False,
)

# Tenants that have an error budget, per SLO. Their slots and sums are in the tables of the objectives', under `key` in the place
# of an objective's id (plimsoll.slo.ledger.tenants).
tenants = Table(
    "tenants",
    metadata,
    Column("key", String(41), primary_key=True),
    Column("objective", String(63), nullable=False),
    Column("tenant", Text, nullable=False),
    Index("tenants_objective", "objective"),
)

# Sums of slots over whole hours and days of UTC (`size` in seconds), renewed in the transaction that changes a slot of
# theirs; `simulated` is 1 where any slot is. They make long windows cheap and stay when old slots are pruned out.
rollups = Table(
    "rollups",
    metadata,
    Column("objective", String(63), primary_key=True),
    Column("size", Integer, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("good", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("covered_ms", BigInteger, nullable=False),
    Column("simulated", Integer, nullable=False),
    Column("indeterminate", BigInteger, nullable=False, server_default="0"),
    CheckConstraint(ROLLUP_CHECK, name="rollups_possible"),
    sqlite_with_rowid=False,
)

# What a pool did in a slot (plimsoll.slo.usage.slots.PoolSlot describes each column); NULL is unknown.
_POOL_TYPES: dict[object, type[TypeEngine[Any]]] = {int | None: BigInteger, float | None: Float}
_POOL_COLUMNS = {name: _POOL_TYPES[kind] for name, kind in get_type_hints(PoolSlot).items() if kind in _POOL_TYPES}
POOL_MEASURED = tuple(_POOL_COLUMNS)
pool_slots = Table(
    "pool_slots",
    metadata,
    Column("pool", String(63), primary_key=True),
    Column("slot", BigInteger, primary_key=True),
    Column("covered_ms", BigInteger, nullable=False),
    *(Column(name, kind) for name, kind in _POOL_COLUMNS.items()),
    Column("simulated", Integer, nullable=False),
    CheckConstraint(POOL_CHECK, name="pool_slots_possible"),
    sqlite_with_rowid=False,
)
pool_progress = Table(
    "pool_progress",
    metadata,
    Column("pool", String(63), primary_key=True),
    Column("recorded_until", BigInteger, nullable=False),
)

# Tokens by tenant and LoRA adapter, as gateways count them (plimsoll.slo.usage.tokens); a slot's rows are replaced together.
token_slots = Table(
    "token_slots",
    metadata,
    Column("pool", String(63), primary_key=True),
    Column("slot", BigInteger, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("adapter", Text, primary_key=True),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("scrapes", BigInteger, nullable=False),
)

# How far each SLO has been recorded: every slot before this time is final.
progress = Table(
    "progress",
    metadata,
    Column("objective", String(63), primary_key=True),
    Column("recorded_until", BigInteger, nullable=False),
)

# What each `spec_hash` of a slot counts, in words (plimsoll.slo.ledger.ingest).
definitions = Table(
    "definitions",
    metadata,
    Column("spec_hash", String(12), primary_key=True),
    Column("counts", Text, nullable=False),
)

# Rows of an older ledger that can't be, as JSON: an upgrade moved them here. Nothing counts them.
impossible_rows = Table(
    "impossible_rows",
    metadata,
    Column("table", String(31), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("size", Integer, primary_key=True),
    Column("body", Text, nullable=False),
)

# Time that is not to be counted, for one objective, one pool or (both empty) everything. A row is never changed but for
# its cancellation; each of both steps has a row in `audit`.
exclusions = Table(
    "exclusions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("objective", String(63)),
    Column("pool", String(63)),
    Column("start", Float, nullable=False),
    Column("end", Float, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("canceled_at", Float),
)

# Manual changes: actor, reason and what changed. The database itself rejects to change or delete a row.
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("action", String(63), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("before", Text),
    Column("after", Text),
)

# Every recommendation that changed the action or the number of nodes; `measured_state` is the state after it (NULL: no data).
recommendations = Table(
    "recommendations",
    metadata,
    Column("pool", String(63), primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("body", Text, nullable=False),
    Column("measured_state", Text),
)

# The newest state of each pool: what the next decision needs, whichever service makes it (capacity.recommendation.measured_state).
measured_states = Table(
    "measured_states",
    metadata,
    Column("pool", String(63), primary_key=True),
    Column("at", Float, nullable=False),
    Column("body", Text, nullable=False),
)

# Weekly reviews as they were generated, by ISO week; `body` is the API's JSON. A row is never changed.
reviews = Table(
    "reviews",
    metadata,
    Column("week", String(8), primary_key=True),
    Column("generated_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

# Attempts to send a saved review to a receiver (slo.service.delivery); `delivered_at` is NULL until one succeeded.
review_deliveries = Table(
    "review_deliveries",
    metadata,
    Column("week", String(8), primary_key=True),
    Column("receiver", String(200), primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("last_attempt_at", Float, nullable=False),
    Column("delivered_at", Float),
)

# The last calibration attempt of each pool: why it gave no new fit (null: it did), and the last good fit (plimsoll.slo.capacity.calibration.measured_replica).
calibrations = Table(
    "calibrations",
    metadata,
    Column("pool", String(63), primary_key=True),
    Column("last_attempt_at", Float, nullable=False),
    Column("reason", Text),
    Column("body", Text),
)

# Raw samples of the embedded source, retained for some hours, so that a restart continues where the last scrape ended.
scraped_series = Table(
    "scraped_series",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Index("scraped_series_identity", "name", "labels", unique=True),
)
scraped_samples = Table(
    "scraped_samples",
    metadata,
    Column("series", Integer, primary_key=True),
    Column("at_ms", BigInteger, primary_key=True),
    Column("value", Float, nullable=False),
    Index("scraped_samples_time", "at_ms"),
)

# One row: the identity of this ledger, which service leads it, and until when by the database's clock (plimsoll.slo.ledger.leader).
leadership = Table(
    "leadership",
    metadata,
    Column("ledger", String(36), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("renewals", BigInteger, nullable=False),
    Column("expires_at", Float, nullable=False),
)

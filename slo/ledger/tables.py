"""The ledger's tables. SQLite by default (WAL, so that readers never wait), PostgreSQL for several service replicas."""

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.pool import ConnectionPoolEntry

metadata = MetaData()

# The truth: per objective and slot, what was counted, how much of the slot was watched, under which spec, from what evidence.
slots = Table(
    "slots",
    metadata,
    Column("objective", String(63), primary_key=True),
    Column("slot", BigInteger, primary_key=True),
    Column("good", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("covered_seconds", Float, nullable=False),
    Column("spec_hash", String(12), nullable=False),
    Column("source", String(63), nullable=False),
)

# How far each objective has been booked: every slot before this time is final.
progress = Table(
    "progress",
    metadata,
    Column("objective", String(63), primary_key=True),
    Column("booked_until", BigInteger, nullable=False),
)

# Every recommendation that said something new: the record of what was advised, when and why.
recommendations = Table(
    "recommendations",
    metadata,
    Column("pool", String(63), primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("body", Text, nullable=False),
)

# Raw samples of the embedded source, kept for some hours, so that a restart counts on where the last scrape ended.
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


def open_database(url: str) -> Engine:
    """Connect to a database by SQLAlchemy URL and create what is missing; raises sqlalchemy.exc.SQLAlchemyError."""
    engine = create_engine(url)
    if make_url(url).get_backend_name() == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
    metadata.create_all(engine)
    return engine


def _configure_sqlite(connection: object, _: ConnectionPoolEntry) -> None:
    """Write ahead, flush each commit to disk (a SIGKILL or power cut loses nothing booked), wait for another writer."""
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()

"""The tables of schedules, and of what became of their times.

The statements that use them stand in `datamcp.scheduling.sql_store`; the migrations make them in the
ledger, and the store itself in a file of its own.
"""

from sqlalchemy import Boolean, Column, Double, Index, Integer, String, Table, Text, text

from datamcp.infra.instants import Instant
from datamcp.tasks.tables import metadata

schedules = Table(
    "schedules",
    metadata,
    Column("schedule_id", String(255), primary_key=True),
    Column("name", String(200), unique=True),
    Column("source", String(16), nullable=False),
    Column("version", Integer, nullable=False),  # each change adds one
    Column("paused", Boolean, nullable=False),
    Column("due_at", Instant),  # when it is next to be decided about; null: never
    Column("updated_at", Instant, nullable=False),
    Column("document", Text, nullable=False),  # JSON of scheduling.Schedule
    Index(
        "schedules_due",
        "due_at",
        postgresql_where=text("due_at IS NOT NULL"),
        sqlite_where=text("due_at IS NOT NULL"),
    ),
)

firings = Table(
    "firings",
    metadata,
    Column("schedule_id", String(255), primary_key=True),
    Column("fire_at", Instant, primary_key=True),  # before jitter
    Column("kind", String(16), primary_key=True),
    Column("outcome", String(16), nullable=False),
    Column("fired_id", String(255)),
    Column("recorded_at", Instant, nullable=False),
    Column("lateness", Double),  # seconds
    Column("error", Text),
    Index("firings_recorded", "recorded_at"),
)

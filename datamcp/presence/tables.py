"""The ledger's table of live processes.

The statements that use it stand in `datamcp.presence.ledger`; the migrations make it.
"""

from sqlalchemy import Boolean, Column, Integer, String, Table, Text

from datamcp.infra.instants import Instant
from datamcp.tasks.tables import metadata

processes = Table(
    "processes",
    metadata,
    Column("process_id", String(255), primary_key=True),
    Column("token", String(32), nullable=False),  # of this start: a node name may be used again
    Column("kind", String(16), nullable=False),
    Column("pool", String(200)),
    Column("queues", Text, nullable=False),  # JSON list
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("concurrency", Integer),
    Column("implementation", String(200)),
    Column("version", String(50), nullable=False),
    Column("busy", Integer),
    Column("draining", Boolean, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("swept_at", Instant),  # beats only
)

"""The ledger's tables of registered pipelines and their runs; steps are rows of `tasks`.

The statements that use them stand in `datamcp.pipelines.ledger`; the migrations make them.
"""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text, text

from datamcp.infra.instants import Instant
from datamcp.tasks.tables import metadata

pipelines = Table(
    "pipelines",
    metadata,
    Column("pipeline_id", String(200), primary_key=True),
    Column("revision", Integer, primary_key=True),  # grows with every new content
    Column("version", String(100), nullable=False),  # as its author calls it
    Column("definition", Text, nullable=False),  # JSON
    Column("registered_at", Instant, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", String(36), primary_key=True),
    Column("pipeline_id", String(200), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("version", String(100), nullable=False),
    Column("state", String(16), nullable=False),
    Column("parameters", Text, nullable=False),  # JSON
    Column("triggered_by", String(200), nullable=False),
    Column("cancel_requested", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", Instant, nullable=False),
    Column("scheduled_at", Instant),  # due then; null: at once
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("error_code", String(200)),
    Column("error_message", Text),
    Index("runs_pipeline", "pipeline_id", "created_at"),
    Index("runs_created", "created_at"),
)

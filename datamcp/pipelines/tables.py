"""The ledger's tables of registered pipelines and their runs; steps are rows of `tasks`.

The statements that use them stand in `datamcp.pipelines.ledger`; the migrations make them.
"""

from sqlalchemy import Boolean, Column, Double, Index, Integer, String, Table, Text, text

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
    Column("admitted_at", Instant),  # since when it may run: see `pipelines.admission`
    Column("paused_at", Instant),
    Column("timeout", Double),  # seconds from its admission on
    Column("deadline", Double),  # likewise
    Column("timeout_at", Instant),
    Column("deadline_at", Instant),
    Column("late_at", Instant),  # when somebody noticed that the deadline had passed
    Column("stopped_by", String(200)),  # error code of what ends it in place of its steps
    Column("resumed_from", String(36)),  # the run whose outputs it has taken over
    Column("parent_task_id", String(255)),  # the step of another run that waits for it
    Column("fire_at", Instant),  # for which it is; null: due then, or made then
    Column("interval_start", Instant),  # of the data that it is for
    Column("interval_end", Instant),
    Column("notice", String(16)),  # what is still to be told: see `pipelines.notices`
    Column("note", Text),
    Index("runs_pipeline", "pipeline_id", "created_at"),
    Index("runs_created", "created_at"),
    Index(
        "runs_open",
        "created_at",
        postgresql_where=text("finished_at IS NULL"),
        sqlite_where=text("finished_at IS NULL"),
    ),
    Index(
        "runs_noticed",
        "notice",
        postgresql_where=text("notice IS NOT NULL"),
        sqlite_where=text("notice IS NOT NULL"),
    ),
    Index(
        "runs_children",
        "parent_task_id",
        postgresql_where=text("parent_task_id IS NOT NULL"),
        sqlite_where=text("parent_task_id IS NOT NULL"),
    ),
)

step_cache = Table(
    "step_cache",
    metadata,
    Column("pipeline_id", String(200), primary_key=True),
    Column("step_id", String(200), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("task_id", String(255), nullable=False),
    Column("run_id", String(36), nullable=False),
    Column("output", Text, nullable=False),  # JSON
    Column("stored_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Index("step_cache_run", "run_id"),
)
"""Outputs of steps that later runs may take over (`cache`)."""

signals = Table(
    "signals",
    metadata,
    Column("run_id", String(36), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("payload", Text, nullable=False),  # JSON
    Column("note", Text),
    Column("sent_at", Instant, nullable=False),
)
"""What runs were told from outside; the first signal of a name is the one that counts."""

watermarks = Table(
    "watermarks",
    metadata,
    Column("pipeline_id", String(200), primary_key=True),
    Column("step_id", String(200), primary_key=True),
    Column("value", Text, nullable=False),  # JSON
    Column("task_id", String(255), nullable=False),
    Column("updated_at", Instant, nullable=False),
)
"""How far incremental steps have read: written where such a step succeeds."""

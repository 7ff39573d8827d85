"""The ledger's table of tasks. A pipeline step is a task that belongs to a run.

The statements that use it stand in `datamcp.tasks.ledger`; the migrations make it.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from datamcp.infra.instants import Instant

metadata = MetaData()

tasks = Table(
    "tasks",
    metadata,
    Column("task_id", String(255), primary_key=True),
    Column("task_type", String(200), nullable=False),
    Column("queue", String(200), nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("parameters", Text, nullable=False),  # JSON; of a step: with its references
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("max_attempts", Integer, nullable=False),  # 0: no limit
    Column("timeout", Double),  # seconds
    Column("fence", String(32)),  # the token of the claim in force (R1, R2)
    Column("agent_id", String(255)),  # who made the last claim
    Column("losses", Integer, nullable=False, server_default=text("0")),  # workers that died on it
    Column("cancel_requested", Boolean, nullable=False, server_default=text("false")),
    Column("progress", Double),  # 0 to 1
    Column("created_at", Instant, nullable=False),
    Column("scheduled_at", Instant),
    Column("queued_at", Instant),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("deferred_at", Instant),  # when the last attempt that is made again ended
    Column("expires_at", Instant),  # what has not started by then never does
    Column("result", Text),  # JSON
    Column("output", Text),  # JSON of processors.Output and what was counted; steps only
    Column("error_code", String(200)),
    Column("error_message", Text),
    # A plain call: its caller awaits it at Celery's result backend (R14).
    Column("celery_result", Boolean, nullable=False, server_default=text("false")),
    Column("canvas", Text),  # JSON: what else its message carries, such as the rest of a chain
    Column("idempotency_key", String(255)),
    Column("tags", Text),  # JSON
    Column("metadata", Text),  # JSON
    Column("root_id", String(255)),
    Column("parent_id", String(255)),
    Column("run_id", String(36)),
    Column("step_id", String(200)),
    Column("upstreams_left", Integer),  # not settled yet; 0 releases the step (R12)
    Column("downstreams", Text),  # JSON list of step ids
    Index("tasks_created", "created_at"),
    Index(
        "tasks_run",
        "run_id",
        postgresql_where=text("run_id IS NOT NULL"),
        sqlite_where=text("run_id IS NOT NULL"),
    ),
    Index(
        "tasks_queued",
        "queue",
        "queued_at",
        postgresql_where=text("state = 'queued'"),
        sqlite_where=text("state = 'queued'"),
    ),
    Index(
        "tasks_due",
        "scheduled_at",
        postgresql_where=text("state IN ('scheduled', 'retrying') AND scheduled_at IS NOT NULL"),
        sqlite_where=text("state IN ('scheduled', 'retrying') AND scheduled_at IS NOT NULL"),
    ),
    Index(
        "tasks_expiring",
        "expires_at",
        postgresql_where=text(
            "expires_at IS NOT NULL AND state IN ('scheduled', 'queued', 'retrying')"
        ),
        sqlite_where=text(
            "expires_at IS NOT NULL AND state IN ('scheduled', 'queued', 'retrying')"
        ),
    ),
    Index(
        "tasks_running",
        "agent_id",
        postgresql_where=text("state = 'running'"),
        sqlite_where=text("state = 'running'"),
    ),
    Index(
        "tasks_failed",
        "finished_at",
        "queue",
        postgresql_where=text("state IN ('failed', 'timed_out')"),
        sqlite_where=text("state IN ('failed', 'timed_out')"),
    ),
    Index(
        "tasks_idempotency",
        "task_type",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
        sqlite_where=text("idempotency_key IS NOT NULL"),
    ),
)

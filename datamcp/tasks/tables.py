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
    Column("lease_until", Instant),  # of a running row: until its worker has to renew it (R6)
    Column("losses", Integer, nullable=False, server_default=text("0")),  # processes it has killed
    Column("suspicions", Integer, nullable=False, server_default=text("0")),  # workers that died
    Column("cancel_requested", Boolean, nullable=False, server_default=text("false")),
    Column("progress", Double),  # 0 to 1
    Column("details", Text),  # JSON: what the last attempt noted, for the next one
    Column("created_at", Instant, nullable=False),
    Column("scheduled_at", Instant),
    Column("queued_at", Instant),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("deferred_at", Instant),  # when the last attempt that is made again ended
    Column("dead_at", Instant),  # of a dead letter: since when
    Column("expires_at", Instant),  # what has not started by then never does
    Column("result", Text),  # JSON
    Column("output", Text),  # JSON of processors.Output and what was counted; steps only
    Column("error_code", String(200)),
    Column("error_message", Text),
    # A plain call: its caller awaits it at Celery's result backend (R14).
    Column("celery_result", Boolean, nullable=False, server_default=text("false")),
    Column("canvas", Text),  # JSON: what else its message carries, such as the rest of a chain
    Column("retry_policy", Text),  # JSON
    Column("retry_of", String(255)),  # the dead letter that this task repeats
    Column("followed_by", String(255)),  # of a dead letter: the task that repeats it
    Column("concurrency_key", String(255)),  # the limit whose place it has, or is offered (R13)
    Column("blocked_on", String(255)),  # of a queued row: the limit that it waits for
    Column("idempotency_key", String(255)),
    Column("tags", Text),  # JSON
    Column("metadata", Text),  # JSON
    Column("root_id", String(255)),
    Column("parent_id", String(255)),
    Column("call_depth", SmallInteger),  # of a task that another one waits for: 1 to 16 (R19)
    Column("run_id", String(36)),
    Column("step_id", String(200)),
    Column("upstreams_left", Integer),  # not settled yet; 0 releases the step (R12)
    Column("unsuccessful", Integer, nullable=False, server_default=text("0")),  # of those settled
    Column("downstreams", Text),  # JSON list of step ids
    Column("gate", SmallInteger, nullable=False, server_default=text("0")),  # `pipelines.gate.Gate`
    Column("undecided", Boolean, nullable=False, server_default=text("false")),  # somebody has to
    Column("apart", Boolean, nullable=False, server_default=text("false")),  # sent by itself
    Column("forgiven", Boolean, nullable=False, server_default=text("false")),  # continue_on_error
    Column("awaits", String(255)),  # what a step waits for that has no slot
    Column("limit_key", String(255)),  # of a step: the limit among steps that it is under
    Column("map_index", Integer),  # of a step that is one of many: its place in the list
    Column("adopted_from", String(255)),  # of a step: the task whose output it has taken over
    Column("note", Text),  # of a step that somebody has marked, or decided
    Index("tasks_created", "created_at"),
    Index(
        "tasks_run",
        "run_id",
        postgresql_where=text("run_id IS NOT NULL"),
        sqlite_where=text("run_id IS NOT NULL"),
    ),
    Index(
        "tasks_undecided",
        "run_id",
        postgresql_where=text("undecided"),
        sqlite_where=text("undecided"),
    ),
    Index(
        "tasks_awaiting",
        "awaits",
        postgresql_where=text("awaits IS NOT NULL AND state = 'scheduled'"),
        sqlite_where=text("awaits IS NOT NULL AND state = 'scheduled'"),
    ),
    Index(
        "tasks_under_limit",
        "limit_key",
        postgresql_where=text("limit_key IS NOT NULL AND finished_at IS NULL"),
        sqlite_where=text("limit_key IS NOT NULL AND finished_at IS NULL"),
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
        "tasks_dead",
        "dead_at",
        postgresql_where=text("dead_at IS NOT NULL"),
        sqlite_where=text("dead_at IS NOT NULL"),
    ),
    Index(
        "tasks_keyed",
        "concurrency_key",
        "state",
        postgresql_where=text("concurrency_key IS NOT NULL AND state IN ('queued', 'running')"),
        sqlite_where=text("concurrency_key IS NOT NULL AND state IN ('queued', 'running')"),
    ),
    Index(
        "tasks_blocked",
        "blocked_on",
        "priority",
        "created_at",
        postgresql_where=text("state = 'queued' AND blocked_on IS NOT NULL"),
        sqlite_where=text("state = 'queued' AND blocked_on IS NOT NULL"),
    ),
    Index(
        "tasks_called",
        "parent_id",
        postgresql_where=text("call_depth IS NOT NULL AND finished_at IS NULL"),
        sqlite_where=text("call_depth IS NOT NULL AND finished_at IS NULL"),
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

attempts = Table(
    "attempts",
    metadata,
    Column("task_id", String(255), primary_key=True),
    Column("fence", String(32), primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("agent_id", String(255)),
    Column("scheduled_at", Instant),
    Column("queued_at", Instant),
    Column("started_at", Instant),
    Column("ended_at", Instant, nullable=False),
    Column("outcome", String(16), nullable=False),  # retried, snoozed, lost
    Column("error_code", String(200)),
    Column("error_message", Text),
)
"""Attempts that another one followed; the last attempt of a task is told by its row."""

task_logs = Table(
    "task_logs",
    metadata,
    Column("task_id", String(255), primary_key=True),
    Column("fence", String(32), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("level", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Index("task_logs_at", "at"),
)
"""What tasks have logged, a bounded number of lines for each attempt."""

turns = Table(
    "turns",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("free_at", Instant, nullable=False),  # by the database's clock
)
"""When something may be done next, by whoever comes first: a start under a limit, a sweep."""

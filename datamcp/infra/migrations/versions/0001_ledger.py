"""Make the ledger: tasks, pipelines, runs."""

import sqlalchemy as sa
from alembic import op

from datamcp.infra.instants import Instant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and their indexes."""
    _make_tasks()
    _make_pipelines()


def _make_tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("task_id", sa.String(255), primary_key=True),
        sa.Column("task_type", sa.String(200), nullable=False),
        sa.Column("queue", sa.String(200), nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("timeout", sa.Double),
        sa.Column("fence", sa.String(32)),
        sa.Column("agent_id", sa.String(255)),
        sa.Column("losses", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("progress", sa.Double),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("scheduled_at", Instant),
        sa.Column("queued_at", Instant),
        sa.Column("started_at", Instant),
        sa.Column("finished_at", Instant),
        sa.Column("result", sa.Text),
        sa.Column("output", sa.Text),
        sa.Column("error_code", sa.String(200)),
        sa.Column("error_message", sa.Text),
        sa.Column("celery_result", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("canvas", sa.Text),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("tags", sa.Text),
        sa.Column("metadata", sa.Text),
        sa.Column("root_id", sa.String(255)),
        sa.Column("parent_id", sa.String(255)),
        sa.Column("run_id", sa.String(36)),
        sa.Column("step_id", sa.String(200)),
        sa.Column("upstreams_left", sa.Integer),
        sa.Column("downstreams", sa.Text),
    )
    op.create_index("tasks_created", "tasks", ["created_at"])
    _partial_index("tasks_run", ["run_id"], "run_id IS NOT NULL")
    _partial_index("tasks_queued", ["queue", "queued_at"], "state = 'queued'")
    due = "state IN ('scheduled', 'retrying') AND scheduled_at IS NOT NULL"
    _partial_index("tasks_due", ["scheduled_at"], due)
    _partial_index("tasks_running", ["agent_id"], "state = 'running'")
    key = "idempotency_key IS NOT NULL"
    _partial_index("tasks_idempotency", ["task_type", "idempotency_key"], key, unique=True)


def _partial_index(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(
        name,
        "tasks",
        columns,
        unique=unique,
        postgresql_where=condition,
        sqlite_where=condition,
    )


def _make_pipelines() -> None:
    op.create_table(
        "pipelines",
        sa.Column("pipeline_id", sa.String(200), primary_key=True),
        sa.Column("revision", sa.Integer, primary_key=True),
        sa.Column("version", sa.String(100), nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("registered_at", Instant, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(36), primary_key=True),
        sa.Column("pipeline_id", sa.String(200), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("version", sa.String(100), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("triggered_by", sa.String(200), nullable=False),
        sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("started_at", Instant),
        sa.Column("finished_at", Instant),
        sa.Column("error_code", sa.String(200)),
        sa.Column("error_message", sa.Text),
    )
    op.create_index("runs_pipeline", "runs", ["pipeline_id", "created_at"])
    op.create_index("runs_created", "runs", ["created_at"])

"""Let steps start by more than the success of their upstreams, and runs wait, pause and resume."""

import sqlalchemy as sa
from alembic import op

from datamcp.infra.instants import Instant

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and make the tables."""
    _widen_tasks()
    _widen_runs()
    op.create_table(
        "step_cache",
        sa.Column("pipeline_id", sa.String(200), primary_key=True),
        sa.Column("step_id", sa.String(200), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("task_id", sa.String(255), nullable=False),
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("output", sa.Text, nullable=False),
        sa.Column("stored_at", Instant, nullable=False),
        sa.Column("expires_at", Instant),
    )
    op.create_index("step_cache_run", "step_cache", ["run_id"])
    op.create_table(
        "signals",
        sa.Column("run_id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("sent_at", Instant, nullable=False),
    )
    op.create_table(
        "watermarks",
        sa.Column("pipeline_id", sa.String(200), primary_key=True),
        sa.Column("step_id", sa.String(200), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("task_id", sa.String(255), nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
    )


def _widen_tasks() -> None:
    for column in (
        sa.Column("unsuccessful", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("gate", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
        _flag("undecided"),
        _flag("apart"),
        _flag("forgiven"),
        sa.Column("awaits", sa.String(255)),
        sa.Column("limit_key", sa.String(255)),
        sa.Column("map_index", sa.Integer),
        sa.Column("adopted_from", sa.String(255)),
        sa.Column("note", sa.Text),
    ):
        op.add_column("tasks", column)
    _index("tasks_undecided", "tasks", "run_id", "undecided")
    _index("tasks_awaiting", "tasks", "awaits", "awaits IS NOT NULL AND state = 'scheduled'")
    _index(
        "tasks_under_limit", "tasks", "limit_key", "limit_key IS NOT NULL AND finished_at IS NULL"
    )


def _widen_runs() -> None:
    for column in (
        sa.Column("admitted_at", Instant),
        sa.Column("paused_at", Instant),
        sa.Column("timeout", sa.Double),
        sa.Column("deadline", sa.Double),
        sa.Column("timeout_at", Instant),
        sa.Column("deadline_at", Instant),
        sa.Column("late_at", Instant),
        sa.Column("stopped_by", sa.String(200)),
        sa.Column("resumed_from", sa.String(36)),
        sa.Column("parent_task_id", sa.String(255)),
        sa.Column("fire_at", Instant),
        sa.Column("interval_start", Instant),
        sa.Column("interval_end", Instant),
        sa.Column("notice", sa.String(16)),
        sa.Column("note", sa.Text),
    ):
        op.add_column("runs", column)
    _index("runs_open", "runs", "created_at", "finished_at IS NULL")
    _index("runs_noticed", "runs", "notice", "notice IS NOT NULL")
    _index("runs_children", "runs", "parent_task_id", "parent_task_id IS NOT NULL")
    op.execute("UPDATE runs SET admitted_at = created_at WHERE scheduled_at IS NULL")


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.text("false"))


def _index(name: str, table: str, column: str, where: str) -> None:
    op.create_index(
        name, table, [column], postgresql_where=sa.text(where), sqlite_where=sa.text(where)
    )

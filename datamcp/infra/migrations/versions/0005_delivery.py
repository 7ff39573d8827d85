"""Lease what runs, keep attempts and logs, dead letters, and whose turn it is."""

import sqlalchemy as sa
from alembic import op

from datamcp.infra.instants import Instant

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what delivery needs of a task, and the tables beside it."""
    for column in (
        sa.Column("lease_until", Instant),
        sa.Column("suspicions", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("details", sa.Text),
        sa.Column("dead_at", Instant),
        sa.Column("retry_policy", sa.Text),
        sa.Column("retry_of", sa.String(255)),
        sa.Column("followed_by", sa.String(255)),
        sa.Column("concurrency_key", sa.String(255)),
        sa.Column("blocked_on", sa.String(255)),
    ):
        op.add_column("tasks", column)
    dead = sa.text("dead_at IS NOT NULL")
    op.create_index("tasks_dead", "tasks", ["dead_at"], postgresql_where=dead, sqlite_where=dead)
    keyed = sa.text("concurrency_key IS NOT NULL AND state IN ('queued', 'running')")
    op.create_index(
        "tasks_keyed",
        "tasks",
        ["concurrency_key", "state"],
        postgresql_where=keyed,
        sqlite_where=keyed,
    )
    blocked = sa.text("state = 'queued' AND blocked_on IS NOT NULL")
    op.create_index(
        "tasks_blocked",
        "tasks",
        ["blocked_on", "priority", "created_at"],
        postgresql_where=blocked,
        sqlite_where=blocked,
    )
    op.create_table(
        "attempts",
        sa.Column("task_id", sa.String(255), primary_key=True),
        sa.Column("fence", sa.String(32), primary_key=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("agent_id", sa.String(255)),
        sa.Column("scheduled_at", Instant),
        sa.Column("queued_at", Instant),
        sa.Column("started_at", Instant),
        sa.Column("ended_at", Instant, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("error_code", sa.String(200)),
        sa.Column("error_message", sa.Text),
    )
    op.create_table(
        "task_logs",
        sa.Column("task_id", sa.String(255), primary_key=True),
        sa.Column("fence", sa.String(32), primary_key=True),
        sa.Column("line", sa.Integer, primary_key=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
    )
    op.create_index("task_logs_at", "task_logs", ["at"])
    op.create_table(
        "turns",
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("free_at", Instant, nullable=False),
    )

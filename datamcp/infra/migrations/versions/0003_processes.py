"""Keep the processes that are there, and find what failed lately."""

import sqlalchemy as sa
from alembic import op

from datamcp.infra.instants import Instant

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of processes, and an index of failures."""
    op.create_table(
        "processes",
        sa.Column("process_id", sa.String(255), primary_key=True),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("pool", sa.String(200)),
        sa.Column("queues", sa.Text, nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("concurrency", sa.Integer),
        sa.Column("implementation", sa.String(200)),
        sa.Column("version", sa.String(50), nullable=False),
        sa.Column("busy", sa.Integer),
        sa.Column("draining", sa.Boolean, nullable=False),
        sa.Column("started_at", Instant, nullable=False),
        sa.Column("seen_at", Instant, nullable=False),
        sa.Column("swept_at", Instant),
    )
    failed = sa.text("state IN ('failed', 'timed_out')")
    op.create_index(
        "tasks_failed",
        "tasks",
        ["finished_at", "queue"],
        postgresql_where=failed,
        sqlite_where=failed,
    )

"""Let an attempt be made again, and a task expire."""

import sqlalchemy as sa
from alembic import op

from datamcp.infra.instants import Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add when an attempt was put off, and until when a task may start."""
    op.add_column("tasks", sa.Column("deferred_at", Instant))
    op.add_column("tasks", sa.Column("expires_at", Instant))
    waits = sa.text("expires_at IS NOT NULL AND state IN ('scheduled', 'queued', 'retrying')")
    op.create_index(
        "tasks_expiring", "tasks", ["expires_at"], postgresql_where=waits, sqlite_where=waits
    )

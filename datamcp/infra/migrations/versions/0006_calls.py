"""Note how deep a task stands that another one has called, and find what a task has called."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the depth, and an index of calls that have not ended."""
    op.add_column("tasks", sa.Column("call_depth", sa.SmallInteger))
    called = sa.text("call_depth IS NOT NULL AND finished_at IS NULL")
    op.create_index(
        "tasks_called", "tasks", ["parent_id"], postgresql_where=called, sqlite_where=called
    )

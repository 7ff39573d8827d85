"""Keep schedules, and what became of their times."""

import sqlalchemy as sa
from alembic import op

from datamcp.infra.instants import Instant

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "schedules",
        sa.Column("schedule_id", sa.String(255), primary_key=True),
        sa.Column("name", sa.String(200), unique=True),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("due_at", Instant),
        sa.Column("updated_at", Instant, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    is_due = sa.text("due_at IS NOT NULL")
    op.create_index(
        "schedules_due", "schedules", ["due_at"], postgresql_where=is_due, sqlite_where=is_due
    )
    op.create_table(
        "firings",
        sa.Column("schedule_id", sa.String(255), primary_key=True),
        sa.Column("fire_at", Instant, primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("fired_id", sa.String(255)),
        sa.Column("recorded_at", Instant, nullable=False),
        sa.Column("lateness", sa.Double),
        sa.Column("error", sa.Text),
    )
    op.create_index("firings_recorded", "firings", ["recorded_at"])

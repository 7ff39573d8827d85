"""Let a run wait for an instant."""

import sqlalchemy as sa
from alembic import op

from datamcp.infra.instants import Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the instant at which a run is due; it is unknown of runs that began at once."""
    op.add_column("runs", sa.Column("scheduled_at", Instant))

"""What the sessions at rest were worked out by, so that they are not worked out again while it is the same."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "venue_rules",
        sa.Column("venue", sa.String(8), primary_key=True),
        sa.Column("start", sa.Date, nullable=False),
        sa.Column("end", sa.Date, nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("rules", sa.String(64), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("venue_rules")

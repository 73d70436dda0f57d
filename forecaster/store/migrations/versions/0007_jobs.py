"""Who works, so that the runs of the dead are taken over; what monitoring raised."""

import sqlalchemy as sa
from alembic import op

from forecaster.store.migrations.append_only import append_only

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "worker",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("beats", sa.Integer, nullable=False),
    )
    op.create_table(
        "alarm",
        sa.Column("target", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("subject", sa.String(64), primary_key=True),
        sa.Column("session", sa.Date, primary_key=True),
        sa.Column("statistic", sa.Float(53), nullable=False),
        sa.Column("threshold", sa.Float(53), nullable=False),
        sa.Column("says", sa.Text, nullable=False),
        sa.Column("raised_at", sa.DateTime, nullable=False),
    )
    append_only("alarm", ("target", "kind", "subject", "session"))


def downgrade() -> None:
    op.drop_table("alarm")
    op.drop_table("worker")

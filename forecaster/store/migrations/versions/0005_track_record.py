"""What a forecast says after calibration, beside the random walk's; what came of it; who may ask."""

import sqlalchemy as sa
from alembic import op

from forecaster.store.migrations.append_only import append_only

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A row from before calibration stands as it was issued: NULL says that it had none.
    op.add_column("forecast", sa.Column("calibrated", sa.JSON))
    op.add_column("forecast", sa.Column("calibration", sa.String(64)))
    op.add_column("forecast", sa.Column("walk", sa.JSON))
    op.add_column("forecast", sa.Column("kind", sa.String(8), nullable=False, server_default="live"))
    op.create_table(
        "score",
        sa.Column("forecast", sa.Integer, sa.ForeignKey("forecast.id"), primary_key=True),
        sa.Column("outcome", sa.Float(53), nullable=False),
        sa.Column("crps", sa.Float(53), nullable=False),
        sa.Column("crps_raw", sa.Float(53), nullable=False),
        sa.Column("crps_walk", sa.Float(53)),
        sa.Column("below", sa.JSON, nullable=False),
        sa.Column("scored_at", sa.DateTime, nullable=False),
    )
    append_only("score", ("forecast",))  # a score is given once


def downgrade() -> None:
    op.drop_table("score")
    for column in ("kind", "walk", "calibration", "calibrated"):
        op.drop_column("forecast", column)

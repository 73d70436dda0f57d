"""Weights of trained models: what a warm start, a finetuning and a pool go on from. Tunings: how much was looked at."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "weights",
        sa.Column("key", sa.String(64), sa.ForeignKey("run.key"), primary_key=True),
        sa.Column("tensors", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "tuning",
        sa.Column("study", sa.String(64), primary_key=True),
        sa.Column("asked", sa.Integer, primary_key=True),
        sa.Column("target", sa.String(64), nullable=False, index=True),
        sa.Column("family", sa.String(32), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("snapshot", sa.String(64), nullable=False),
        sa.Column("trials", sa.Integer, nullable=False),
        sa.Column("pruned", sa.Integer, nullable=False),
        sa.Column("refused", sa.Integer, nullable=False),
        sa.Column("best_skill", sa.Float(53)),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("tuning")
    op.drop_table("weights")

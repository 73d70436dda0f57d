"""Looks at test years and challenges: how often chance was given a turn. The statement of each training, to redo it."""

import sqlalchemy as sa
from alembic import op

from forecaster.store.migrations.append_only import append_only

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

HISTORY = {"look": ("target", "recipe", "first", "last", "seen_at"), "challenge": ("target", "number")}


def upgrade() -> None:
    op.add_column("run", sa.Column("statement", sa.JSON))
    op.create_table(
        "look",
        sa.Column("target", sa.String(64), primary_key=True),
        sa.Column("recipe", sa.String(64), primary_key=True),
        sa.Column("first", sa.Date, primary_key=True),
        sa.Column("last", sa.Date, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("seen_at", sa.DateTime, primary_key=True),
    )
    op.create_table(
        "challenge",
        sa.Column("target", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(64), nullable=False, unique=True),
        sa.Column("recipe", sa.String(64), nullable=False),
        sa.Column("alpha", sa.Float(53), nullable=False),
        sa.Column("passed", sa.Boolean, nullable=False),
        sa.Column("decision", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
    )
    for table, key in HISTORY.items():  # what was seen cannot be unseen
        append_only(table, key)


def downgrade() -> None:
    op.drop_table("challenge")
    op.drop_table("look")
    op.drop_column("run", "statement")

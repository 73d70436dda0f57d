"""Actions, the log of visits to sources, which rows are assumed; market data becomes append-only."""

import sqlalchemy as sa
from alembic import op

from forecaster.store.migrations.append_only import append_only

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

HISTORY = ("bar", "observation", "action")


def upgrade() -> None:
    for table in ("bar", "observation"):
        op.add_column(table, sa.Column("assumed", sa.Boolean, nullable=False, server_default=sa.true()))
        # Until now a changed row was known from when it was written, any other by a rule.
        op.execute(f"UPDATE {table} SET assumed = (known_at <> recorded_at)")
    op.create_table(
        "action",
        sa.Column("symbol", sa.String(16), primary_key=True),
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("session", sa.Date, primary_key=True),
        sa.Column("known_at", sa.DateTime, primary_key=True),
        sa.Column("recorded_at", sa.DateTime, nullable=False),
        sa.Column("assumed", sa.Boolean, nullable=False),
        sa.Column("value", sa.Float(53), nullable=False),
    )
    op.create_table(
        "visit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("subject", sa.String(32), nullable=False, index=True),
        sa.Column("source", sa.String(32), nullable=False, index=True),
        sa.Column("asked_at", sa.DateTime, nullable=False),
        sa.Column("asked", sa.Boolean, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("problem", sa.Text),
        sa.Column("stale_since", sa.Date),
    )
    for table in HISTORY:  # a revision is a row more, never a row changed
        append_only(table)


def downgrade() -> None:
    for table in HISTORY:
        if op.get_bind().dialect.name == "postgresql":
            op.execute(f"DROP TRIGGER {table}_append_only ON {table}")
        else:
            for verb in ("update", "delete"):
                op.execute(f"DROP TRIGGER {table}_no_{verb}")
    op.drop_table("visit")
    op.drop_table("action")
    for table in ("bar", "observation"):
        op.drop_column(table, "assumed")

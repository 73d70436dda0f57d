"""First schema: bars and observations with known_at, quarantine, artifacts, runs, promotions, champion, ledger."""

import sqlalchemy as sa
from alembic import op

from forecaster.store.migrations.append_only import append_only

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("promotion", "forecast")
KEYS = {
    "promotion": (("target", "version"),),
    "forecast": (("id",), ("symbol", "origin", "target", "horizon", "digest")),
}


def upgrade() -> None:
    op.create_table(
        "instrument",
        sa.Column("symbol", sa.String(16), primary_key=True),
        sa.Column("venue", sa.String(8), nullable=False),
        sa.Column("currency", sa.String(8), nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
    )
    op.create_table(
        "bar",
        sa.Column("symbol", sa.String(16), primary_key=True),
        sa.Column("session", sa.Date, primary_key=True),
        sa.Column("known_at", sa.DateTime, primary_key=True),
        sa.Column("recorded_at", sa.DateTime, nullable=False),
        *(sa.Column(field, sa.Float(53), nullable=False) for field in ("open", "high", "low", "close", "volume")),
    )
    op.create_table(
        "observation",
        sa.Column("series", sa.String(32), primary_key=True),
        sa.Column("period", sa.Date, primary_key=True),
        sa.Column("known_at", sa.DateTime, primary_key=True),
        sa.Column("recorded_at", sa.DateTime, nullable=False),
        sa.Column("value", sa.Float(53), nullable=False),
    )
    op.create_table(
        "quarantine",
        sa.Column("subject", sa.String(32), primary_key=True),
        sa.Column("date", sa.Date, primary_key=True),
        sa.Column("reason", sa.String(64), primary_key=True),
        sa.Column("row", sa.JSON, nullable=False),
        sa.Column("recorded_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "artifact",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("manifest", sa.Text, nullable=False),
        sa.Column("model", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
    )
    digest = sa.ForeignKey("artifact.digest")
    op.create_table(
        "run",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("digest", sa.String(64), digest, nullable=False),
        sa.Column("tracking_id", sa.String(64), nullable=False),
        sa.Column("train_seconds", sa.Float(53), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "promotion",
        sa.Column("target", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String(64), sa.ForeignKey("artifact.digest"), nullable=False),
        sa.Column("previous", sa.String(64)),
        sa.Column("decision", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "champion",
        sa.Column("target", sa.String(64), primary_key=True),
        sa.Column("digest", sa.String(64), sa.ForeignKey("artifact.digest"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "forecast",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("target", sa.String(64), nullable=False),
        sa.Column("symbol", sa.String(16), nullable=False),
        sa.Column("origin", sa.Date, nullable=False),
        sa.Column("horizon", sa.Integer, nullable=False),
        sa.Column("session", sa.Date, nullable=False),
        sa.Column("digest", sa.String(64), sa.ForeignKey("artifact.digest"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("origin_close", sa.Float(53), nullable=False),
        sa.Column("quantiles", sa.JSON, nullable=False),
        sa.Column("issued_at", sa.DateTime, nullable=False),
        sa.UniqueConstraint("symbol", "origin", "target", "horizon", "digest", name="uq_forecast"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        )
    for table in APPEND_ONLY:
        append_only(table, *KEYS[table])


def downgrade() -> None:
    for table in ("forecast", "champion", "promotion", "run", "artifact", "quarantine", "observation", "bar"):
        op.drop_table(table)
    op.drop_table("instrument")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change()")

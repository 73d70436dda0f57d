"""Sessions of venues for the service, which loads no calendar library; who may ask it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "venue_session",
        sa.Column("venue", sa.String(8), primary_key=True),
        sa.Column("session", sa.Date, primary_key=True),
        sa.Column("opens", sa.DateTime, nullable=False),
        sa.Column("closes", sa.DateTime, nullable=False),
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("expires_at", sa.DateTime),
        sa.Column("revoked_at", sa.DateTime),
    )


def downgrade() -> None:
    op.drop_table("api_key")
    op.drop_table("venue_session")

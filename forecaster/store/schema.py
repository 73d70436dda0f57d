"""Tables of the store; the same on SQLite and PostgreSQL.

Instants are UTC. `known_at` is when the world could know a row, `recorded_at` when we wrote it; `assumed` says that
the first is a rule's word (settled close, ex-date, publication lag), not something that we or an archive saw. A row of
any table but `instrument`, `champion` and `worker` is never changed; triggers refuse it for market data, the ledger,
promotions, looks, challenges and alarms. `champion` is the one pointer, moved by compare-and-set on its version.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime in Python, a naive one in the database, so both databases sort and compare alike."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=UTC)


metadata = MetaData()

instrument = Table(
    "instrument",
    metadata,
    Column("symbol", String(16), primary_key=True),
    Column("venue", String(8), nullable=False),
    Column("currency", String(8), nullable=False),
    Column("source", String(32), nullable=False),
)

bar = Table(
    "bar",
    metadata,
    Column("symbol", String(16), primary_key=True),
    Column("session", Date, primary_key=True),
    Column("known_at", UtcDateTime, primary_key=True),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("assumed", Boolean, nullable=False),
    *(Column(field, Float(53), nullable=False) for field in ("open", "high", "low", "close", "volume")),
)

action = Table(
    "action",
    metadata,
    Column("symbol", String(16), primary_key=True),
    Column("kind", String(8), primary_key=True),  # split: new shares for one old; dividend: cash a share
    Column("session", Date, primary_key=True),  # ex-date
    Column("known_at", UtcDateTime, primary_key=True),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("assumed", Boolean, nullable=False),
    Column("value", Float(53), nullable=False),
)

observation = Table(
    "observation",
    metadata,
    Column("series", String(32), primary_key=True),
    Column("period", Date, primary_key=True),
    Column("known_at", UtcDateTime, primary_key=True),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("assumed", Boolean, nullable=False),
    Column("value", Float(53), nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("subject", String(32), primary_key=True),
    Column("date", Date, primary_key=True),
    Column("reason", String(64), primary_key=True),
    Column("row", JSON, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
)

visit = Table(
    "visit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("subject", String(32), nullable=False, index=True),
    Column("source", String(32), nullable=False, index=True),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("asked", Boolean, nullable=False),  # false where the source was left alone
    Column("status", String(16), nullable=False),
    Column("problem", Text),
    Column("stale_since", Date),  # first settled session that the store lacks
)

artifact = Table(
    "artifact",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("manifest", Text, nullable=False),
    Column("model", LargeBinary, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

run = Table(
    "run",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("digest", String(64), ForeignKey("artifact.digest"), nullable=False),
    Column("tracking_id", String(64), nullable=False),
    Column("train_seconds", Float(53), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("statement", JSON),  # all that decides the outcome, to train it again; NULL in rows older than this column
)

weights = Table(
    "weights",
    metadata,
    Column("key", String(64), ForeignKey("run.key"), primary_key=True),
    Column("tensors", LargeBinary, nullable=False),  # safetensors
)

promotion = Table(
    "promotion",
    metadata,
    Column("target", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("digest", String(64), ForeignKey("artifact.digest"), nullable=False),
    Column("previous", String(64)),
    Column("decision", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

look = Table(
    "look",
    metadata,
    Column("target", String(64), primary_key=True),
    Column("recipe", String(64), primary_key=True),
    Column("first", Date, primary_key=True),  # of the test origins whose scores were seen
    Column("last", Date, primary_key=True),
    Column("model", Text, nullable=False),
    Column("seen_at", UtcDateTime, primary_key=True),
)

challenge = Table(
    "challenge",
    metadata,
    Column("target", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("key", String(64), nullable=False, unique=True),  # candidate, rivals and origins
    Column("recipe", String(64), nullable=False),
    Column("alpha", Float(53), nullable=False),  # what it spent of the year's false promotions
    Column("passed", Boolean, nullable=False),
    Column("decision", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

champion = Table(
    "champion",
    metadata,
    Column("target", String(64), primary_key=True),
    Column("digest", String(64), ForeignKey("artifact.digest"), nullable=False),
    Column("version", Integer, nullable=False),
)

forecast = Table(
    "forecast",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("target", String(64), nullable=False),
    Column("symbol", String(16), nullable=False),
    Column("origin", Date, nullable=False),
    Column("horizon", Integer, nullable=False),
    Column("session", Date, nullable=False),
    Column("digest", String(64), ForeignKey("artifact.digest"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("origin_close", Float(53), nullable=False),
    Column("quantiles", JSON, nullable=False),  # raw, as the graph gave them
    Column("issued_at", UtcDateTime, nullable=False),
    Column("calibrated", JSON),  # NULL in rows from before calibration
    Column("calibration", String(64)),  # digest of the state that moved them
    Column("walk", JSON),  # the random walk's from the same origin
    Column("kind", String(8), nullable=False, server_default="live"),  # or "backfill": made when prices were known
    UniqueConstraint("symbol", "origin", "target", "horizon", "digest", name="uq_forecast"),
)

score = Table(
    "score",
    metadata,
    Column("forecast", Integer, ForeignKey("forecast.id"), primary_key=True),
    Column("outcome", Float(53), nullable=False),  # cumulative log return, or change
    Column("crps", Float(53), nullable=False),  # of the calibrated quantiles
    Column("crps_raw", Float(53), nullable=False),
    Column("crps_walk", Float(53)),
    Column("below", JSON, nullable=False),  # by level: whether the outcome was at or below it
    Column("scored_at", UtcDateTime, nullable=False),
)

tuning = Table(
    "tuning",
    metadata,
    Column("study", String(64), primary_key=True),
    Column("asked", Integer, primary_key=True),
    Column("target", String(64), nullable=False, index=True),
    Column("family", String(32), nullable=False),
    Column("name", Text, nullable=False),
    Column("snapshot", String(64), nullable=False),
    Column("trials", Integer, nullable=False),
    Column("pruned", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("best_skill", Float(53)),
    Column("config", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

venue_session = Table(
    "venue_session",
    metadata,
    Column("venue", String(8), primary_key=True),
    Column("session", Date, primary_key=True),
    Column("opens", UtcDateTime, nullable=False),
    Column("closes", UtcDateTime, nullable=False),
)

venue_rules = Table(
    "venue_rules",
    metadata,
    Column("venue", String(8), primary_key=True),
    Column("start", Date, nullable=False),  # the span that was worked out last, whole where all is announced
    Column("end", Date, nullable=False),
    Column("zone", String(64), nullable=False),
    Column("rules", String(64), nullable=False),  # digest of what it was worked out by
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", String(16), primary_key=True),  # the public part of the key, safe to log
    Column("hash", String(64), nullable=False),  # SHA-256 of the whole key; the key itself is shown once and never kept
    Column("name", Text, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

worker = Table(
    "worker",
    metadata,
    Column("id", String(64), primary_key=True),  # of a process that carries out jobs
    Column("beats", Integer, nullable=False),  # counts up while it lives
)

alarm = Table(
    "alarm",
    metadata,
    Column("target", String(64), primary_key=True),
    Column("kind", String(16), primary_key=True),  # inputs, scores, coverage or age
    Column("subject", String(64), primary_key=True),  # a channel, a symbol or a series; empty for the whole target
    Column("session", Date, primary_key=True),  # at which it was raised
    Column("statistic", Float(53), nullable=False),
    Column("threshold", Float(53), nullable=False),  # that the statistic passed
    Column("says", Text, nullable=False),
    Column("raised_at", UtcDateTime, nullable=False),
)

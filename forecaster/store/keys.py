"""Who may ask the service: API keys, by their hash. A key itself is shown once, when it is made, and never kept."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from sqlalchemy import Engine, insert, or_, select, update

from forecaster.store.database import reading
from forecaster.store.schema import api_key

Scope = Literal["read", "predict", "metrics"]


@dataclass(frozen=True)
class Key:
    """What is kept of a key."""

    id: str
    """The public part of the key, safe to log."""
    hash: str = field(repr=False)
    """SHA-256 of the whole key."""
    name: str
    """Whose it is, for people."""
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def valid(self, now: datetime) -> bool:
        """Whether it opens anything."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def fingerprint(key: bytes) -> str:
    """The hash that is kept of a key; 32 random bytes need no salt and no slow function."""
    return hashlib.sha256(key).hexdigest()


def add_key(engine: Engine, key: Key) -> None:
    """Let it in."""
    with engine.begin() as connection:
        connection.execute(insert(api_key).values(vars(key)))


def all_keys(engine: Engine) -> list[Key]:
    """Every key there ever was, the oldest first."""
    with reading(engine).connect() as connection:
        rows = connection.execute(select(api_key).order_by(api_key.c.created_at, api_key.c.id)).all()
    return [Key(**{**row._mapping, "scopes": tuple(row.scopes)}) for row in rows]


def find_key(engine: Engine, key_id: str) -> Key | None:
    """The key of an id."""
    return next((key for key in all_keys(engine) if key.id == key_id), None)


def revoke_key(engine: Engine, key: Key, now: datetime) -> None:
    """Shut it out for good; the first time counts."""
    mine = (api_key.c.id == key.id) & api_key.c.revoked_at.is_(None)
    with engine.begin() as connection:
        connection.execute(update(api_key).where(mine).values(revoked_at=now))


def replace_key(engine: Engine, old: Key, new: Key, until: datetime) -> None:
    """Let the new one in, and the old one until a moment, or until it ends anyway: both or neither."""
    mine = (api_key.c.id == old.id) & or_(api_key.c.expires_at.is_(None), api_key.c.expires_at > until)
    with engine.begin() as connection:
        connection.execute(insert(api_key).values(vars(new)))
        connection.execute(update(api_key).where(mine).values(expires_at=until))

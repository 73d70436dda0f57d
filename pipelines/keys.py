"""Keys of the service, made and replaced.

A key is `fk_<id>_<secret>`: the id is public, the secret 32 random bytes. The store keeps the hash of the whole, so the
key that these functions return is there once.
"""

from datetime import datetime, timedelta
from secrets import token_hex, token_urlsafe

from sqlalchemy import Engine

from forecaster.store.database import connect
from forecaster.store.keys import Key, Scope, add_key, fingerprint, replace_key
from forecaster.store.migrate import migrate
from pipelines.home import Home


def open_store(home: Home) -> Engine:
    """The store of a home, brought up to date.

    Raises:
        HomeUnwritable: The home cannot be written.
    """
    home.prepare()
    engine = connect(home.database_url)
    migrate(engine)
    return engine


def create(
    engine: Engine, name: str, scopes: tuple[Scope, ...], now: datetime, lifetime: timedelta | None = None
) -> tuple[str, Key]:
    """A new key, and what is kept of it."""
    key, kept = _mint(name, scopes, now, lifetime)
    add_key(engine, kept)
    return key, kept


def rotate(engine: Engine, old: Key, now: datetime, overlap: timedelta) -> tuple[str, Key]:
    """A new key of the same name, scopes and lifetime; the old one opens until the overlap has passed."""
    lifetime = None if old.expires_at is None else old.expires_at - old.created_at
    key, kept = _mint(old.name, old.scopes, now, lifetime)
    replace_key(engine, old, kept, now + overlap)
    return key, kept


def _mint(name: str, scopes: tuple[Scope, ...], now: datetime, lifetime: timedelta | None) -> tuple[str, Key]:
    public = token_hex(6)
    key = f"fk_{public}_{token_urlsafe(32)}"
    expires_at = None if lifetime is None else now + lifetime
    return key, Key(public, fingerprint(key.encode()), name, tuple(sorted(set(scopes))), now, expires_at)

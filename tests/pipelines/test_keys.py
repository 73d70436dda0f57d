"""Keys by command, on SQLite and PostgreSQL: shown once, kept by hash, replaced, revoked."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from forecaster.store.keys import all_keys, find_key, fingerprint, revoke_key
from pipelines.cli import app
from pipelines.keys import create, rotate

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_what_is_kept_of_a_key(store: Engine) -> None:
    key, kept = create(store, "a desk", ("predict", "read"), NOW, timedelta(days=90))
    assert re.fullmatch(r"fk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", key)
    assert key.startswith(f"fk_{kept.id}_")
    assert all_keys(store) == [kept]
    assert (kept.hash, kept.scopes) == (fingerprint(key.encode()), ("predict", "read"))
    assert kept.expires_at == NOW + timedelta(days=90)
    with store.connect() as connection:
        everything = str(connection.execute(text("SELECT * FROM api_key")).all())
    assert key.split("_", 2)[2] not in everything
    assert kept.hash not in repr(kept)


def test_two_keys_are_never_alike(store: Engine) -> None:
    keys = [create(store, "same", ("read",), NOW) for _ in range(50)]
    assert len({key for key, _ in keys}) == len({kept.id for _, kept in keys}) == 50
    assert len(all_keys(store)) == 50


def test_rotation_keeps_name_scopes_and_lifetime_and_ends_the_old_one(store: Engine) -> None:
    _, old = create(store, "a desk", ("metrics", "read"), NOW - timedelta(days=10), timedelta(days=90))
    key, new = rotate(store, old, NOW, timedelta(hours=24))
    assert (new.name, new.scopes) == (old.name, old.scopes)
    assert new.expires_at == NOW + timedelta(days=90)
    assert new.hash == fingerprint(key.encode()) != old.hash
    kept = find_key(store, old.id)
    assert kept.expires_at == NOW + timedelta(hours=24)
    assert kept.valid(NOW + timedelta(hours=23))
    assert not kept.valid(NOW + timedelta(hours=24))


def test_rotation_does_not_prolong_what_ends_sooner(store: Engine) -> None:
    _, old = create(store, "a desk", ("read",), NOW, timedelta(hours=1))
    rotate(store, old, NOW, timedelta(hours=24))
    assert find_key(store, old.id).expires_at == NOW + timedelta(hours=1)


def test_revocation_is_at_once_and_for_good(store: Engine) -> None:
    _, kept = create(store, "a desk", ("read",), NOW)
    revoke_key(store, kept, NOW)
    revoke_key(store, kept, NOW + timedelta(days=1))
    found = find_key(store, kept.id)
    assert found.revoked_at == NOW
    assert not found.valid(NOW)
    assert not found.valid(NOW - timedelta(days=1))


class Shell:
    """The commands on one home."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["key", *words, "--home", str(self.home)])
        assert done.exit_code == code, done.output
        return done.stdout if code == 0 else done.stderr

    def json(self, *words: str) -> dict:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def key(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "home")


def test_the_commands_from_first_to_last(key: Shell) -> None:
    assert "no key yet" in key("list")
    made = key.json("create", "a desk", "--scope", "read", "--scope", "predict", "--scope", "read", "--days", "30")
    assert made["scopes"] == "predict read"
    assert made["opens"] is True
    assert "hash" not in made
    other = key("create", "another").strip()
    replaced = key.json("rotate", made["id"], "--overlap-hours", "1")
    assert replaced["key"] != made["key"]
    assert replaced["name"] == "a desk"
    key("revoke", made["id"])
    listed = {one["id"]: one for one in key.json("list")["keys"]}
    assert {one["name"]: one["opens"] for one in listed.values() if one["id"] != made["id"]} == {
        "a desk": True,
        "another": True,
    }
    assert listed[made["id"]]["opens"] is False
    assert listed[other.split("_")[1]]["scopes"] == "read"
    shown = key("list") + json.dumps(key.json("list"))
    for secret in (made["key"], other, replaced["key"]):
        assert secret.split("_", 2)[2] not in shown
        assert fingerprint(secret.encode()) not in shown


def test_a_key_alone_goes_to_stdout(key: Shell) -> None:
    assert re.fullmatch(r"fk_\w{12}_[\w-]{43}\n", key("create", "a desk"))


@pytest.mark.parametrize(
    "words",
    [
        ("revoke", "0" * 12),
        ("rotate", "'; DROP TABLE api_key --"),
        ("create", ""),
        ("create", "a" * 65),
        ("create", "two\nlines"),
        ("create", "a desk", "--scope", "admin"),
        ("create", "a desk", "--days", "-1"),
    ],
)
def test_wrong_usage_is_said_and_changes_nothing(key: Shell, words: tuple[str, ...]) -> None:
    assert key(*words, code=2)
    assert key.json("list")["keys"] == []


def test_what_opens_nothing_is_not_replaced(key: Shell) -> None:
    made = key.json("create", "a desk")
    key("revoke", made["id"])
    assert "opens nothing any more" in key("rotate", made["id"], code=2)

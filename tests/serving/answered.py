"""A small store in which every documented question has an answer."""

from pathlib import Path

from page_store import Market, decision, issue
from small_past import score_all
from small_store import BY_DEFAULT, NOW, SmallStore, small_artifact
from sqlalchemy import Engine
from traded import WINDOW, bars, keep, trade

from forecaster.artifact import Artifact
from forecaster.store.challenges import Challenge, add_challenge
from forecaster.store.migrate import migrate
from forecaster.store.schema import metadata

TARGET = "^IXIC-return-5"


def answered_store(home: Path) -> SmallStore:
    """^IXIC with prices, sessions, three champions one after the other, and forecasts; MSFT with nothing."""
    store = SmallStore(home)
    trade(store)
    keep(store)
    said = decision("small", passed=True)
    said["leaderboard"] = [row for row in said["leaderboard"] if row["name"] != "naive"]  # PostgreSQL's JSON has no NaN
    walk = _model(seed=0)
    store.promote(walk, {**BY_DEFAULT, "walk": walk.digest})
    for seed in (1, 2):
        champion = store.promote(_model(seed), {**said, "walk": walk.digest})
    with store.engine.begin() as connection:
        add_challenge(connection, Challenge(TARGET, 1, "1" * 64, "f" * 64, 0.005, True, said, NOW))
    market = Market(bars())
    issue(store, champion, market, range(-30, -20), "backfill")
    issue(store, champion, market, range(-20, -1))
    score_all(store, champion)
    issue(store, champion, market, range(-1, 0))
    return store


def copy_store(store: SmallStore, other: Engine) -> None:
    """The same rows into an empty database."""
    migrate(other)
    with store.engine.connect() as here, other.begin() as there:
        for table in metadata.sorted_tables:
            rows = [row._asdict() for row in here.execute(table.select())]
            if rows:
                there.execute(table.insert(), rows)


def _model(seed: int) -> Artifact:
    made = small_artifact("^IXIC", horizon=5, seed=seed)
    return Artifact.seal(made.manifest.model_copy(update={"window": WINDOW}), made.model)

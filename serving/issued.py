"""Issued forecasts, read from the ledger: for one question, or for all symbols at once."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from pydantic import ValidationError
from sqlalchemy import Engine, select

from forecaster.artifact import Manifest
from forecaster.contract import Frozen
from forecaster.errors import ArtifactCorrupt, ForecasterError, ForecastMissing, OutputInvalid
from forecaster.store import ledger
from forecaster.store.champions import Promotion, find_promotions
from forecaster.store.database import reading
from forecaster.store.history import find_instrument
from forecaster.store.ledger import Entry
from forecaster.store.news import fallen_behind
from forecaster.store.schema import artifact
from forecaster.store.scores import Result, newest_results
from forecaster.track import TRAILING, Line, trailing
from serving.forecasts import compose, dated
from serving.schemas.forecasts import Forecast

_ONE_DAY = timedelta(days=1)


class Sheet(Frozen):
    """An issued forecast, and what is needed to say its age on another day."""

    forecast: Forecast
    missed: bool

    def on(self, today: date) -> Forecast:
        """What it says on that day."""
        return dated(self.forecast, today, self.missed)


def issued_forecast(
    store: Engine, symbol: str, today: date, as_of: date | None = None, target: str | None = None
) -> Forecast:
    """The newest forecast of a symbol.

    Arguments:
        as_of: Issued by the end of that day, UTC; None for now.
        target: Issued for that one; None for whichever is newest.

    Raises:
        UnknownSymbol: The store has never heard of it.
        ForecastMissing: It has, but nothing was issued.
        OutputInvalid: What was issued is no forecast.
    """
    before = None if as_of is None else datetime.combine(as_of + _ONE_DAY, time(), UTC)
    for _, found in read_sheets(store, [symbol], today, before, target):
        if isinstance(found, ForecasterError):
            raise found
        return found.forecast
    if not ledger.targets(store, symbol):
        find_instrument(store, symbol)
    raise ForecastMissing(symbol)


def read_sheets(
    store: Engine, symbols: Collection[str], today: date, before: datetime | None = None, target: str | None = None
) -> Iterator[tuple[str, Sheet | ForecasterError]]:
    """Each symbol and its newest forecast, or what is wrong with it; a symbol without one is left out."""
    heads = ledger.newest(store, symbols, before, target)
    if not heads:
        return
    sources = _Sources.read(store, heads)
    for symbol, entries in heads.items():
        try:
            yield symbol, sources.sheet(entries, today)
        except ForecasterError as error:
            yield symbol, error
        except Exception as error:  # whatever is wrong with one must not keep the others from being answered
            yield symbol, OutputInvalid(entries[0].digest, f"{type(error).__name__} while putting it together")


def live_record(store: Engine, target: str, symbol: str, horizon: int) -> tuple[Line, ...]:
    """What live forecasts of a target and symbol came to lately, a line for each horizon up to H."""
    mine = [one for one in newest_results(store, [symbol], TRAILING) if one.target == target]
    return trailing(mine, horizon)


@dataclass(frozen=True)
class _Sources:
    """All that forecasts of some symbols are put together from."""

    promotions: Mapping[tuple[str, int], Promotion]
    manifests: Mapping[str, Manifest | ForecasterError]
    results: Mapping[tuple[str, str], list[Result]]
    behind: Collection[str]

    @classmethod
    def read(cls, store: Engine, heads: Mapping[str, list[Entry]]) -> "_Sources":
        firsts = [entries[0] for entries in heads.values()]
        results: dict[tuple[str, str], list[Result]] = {}
        for one in newest_results(store, heads, TRAILING):
            results.setdefault((one.target, one.symbol), []).append(one)
        return cls(
            promotions=find_promotions(store, {(one.target, one.version) for one in firsts}),
            manifests=_manifests(store, {one.digest for one in firsts}),
            results=results,
            behind=fallen_behind(store, heads),
        )

    def sheet(self, entries: list[Entry], today: date) -> Sheet:
        first = entries[0]
        manifest, promotion = self.manifests[first.digest], self.promotions.get((first.target, first.version))
        if isinstance(manifest, ForecasterError):
            raise manifest
        if promotion is None or promotion.digest != first.digest:
            raise OutputInvalid(first.digest, "the ledger names a promotion that is not on record")
        if [one.horizon for one in entries] != list(range(1, len(entries) + 1)):
            raise OutputInvalid(first.digest, "a step is missing")
        return Sheet(
            missed=first.symbol in self.behind,
            forecast=compose(
                symbol=first.symbol,
                target=first.target,
                manifest=manifest,
                version=first.version,
                digest=first.digest,
                origin=first.origin,
                origin_close=first.origin_close,
                sessions=[one.session for one in entries],
                quantiles=_table([one.stated for one in entries], first.digest),
                walk=_walk(entries),
                calibrated=all(one.calibrated is not None for one in entries),
                calibration=first.calibration,
                issued_at=first.issued_at,
                decision=promotion.decision,
                trailing=trailing(self.results.get((first.target, first.symbol), []), manifest.target.horizon),
                today=today,
                missed=first.symbol in self.behind,
            ),
        )


def _manifests(store: Engine, digests: Collection[str]) -> dict[str, Manifest | ForecasterError]:
    query = select(artifact.c.digest, artifact.c.manifest).where(artifact.c.digest.in_(list(digests)))
    found: dict[str, Manifest | ForecasterError] = {}
    with reading(store).connect() as connection:
        for digest, manifest in connection.execute(query):
            try:
                found[digest] = Manifest.model_validate_json(manifest)
            except ValidationError:  # of another version of this program: the others are answered
                found[digest] = ArtifactCorrupt(digest, "its manifest is not valid")
    return found


def _walk(entries: list[Entry]) -> list[list[float]] | None:
    walks = [one.walk for one in entries if one.walk is not None]
    return _table(walks, entries[0].digest) if len(walks) == len(entries) else None


def _table(rows: list[list[float]], digest: str) -> list[list[float]]:
    if len({len(row) for row in rows}) != 1:
        raise OutputInvalid(digest, "its steps have not the same levels")
    return rows

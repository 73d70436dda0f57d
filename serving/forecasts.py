"""A forecast as it is answered: put together and checked, whether it was issued or is made on demand."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from forecaster.artifact import Manifest
from forecaster.contract import Floats
from forecaster.errors import OutputInvalid
from forecaster.track import Line
from serving.schemas.forecasts import Forecast, Model, Step, Trailing

_FRESH_DAYS = 5  # a weekend with a holiday on either side
_NO_SKILL = "no skill over the random walk"
_NO_LIVE_SKILL = "no skill over the random walk in what was issued live"


def compose(
    *,
    symbol: str,
    target: str,
    manifest: Manifest,
    version: int,
    digest: str,
    origin: date,
    origin_close: float,
    sessions: Sequence[date],
    quantiles: ArrayLike,
    walk: ArrayLike | None,
    calibrated: bool,
    calibration: str | None,
    issued_at: datetime | None,
    decision: Mapping[str, Any],
    trailing: Iterable[Line],
    today: date,
    missed: bool,
) -> Forecast:
    """A forecast, checked once more before anybody sees it.

    Arguments:
        target: Key of the target.
        manifest: Of the artifact that made it; `version` and `digest` are the champion's.
        sessions: [H] it is about.
        quantiles: [H, Q] as stated, in the target's unit.
        walk: [H, Q] of the random walk from the same origin; None where none was made.
        calibration: Digest of the state that moved the quantiles.
        issued_at: None where it is made on demand.
        decision: Why the model is in charge, from its promotion.
        trailing: The live record of target and symbol; a horizon without a line has n = 0.
        today: UTC.
        missed: Whether its source did not deliver when it was last asked.

    Raises:
        OutputInvalid: A value is not finite, levels cross, a price is not positive, or there are too many or too few.
    """
    stated = _Stated.check(quantiles, sessions, origin_close, manifest, digest)
    beside = None if walk is None else _Stated.check(walk, sessions, origin_close, manifest, digest)
    lines = {line.horizon: line for line in trailing}
    record = [_trailing(lines.get(step, _nothing(step))) for step in range(1, manifest.target.horizon + 1)]
    undated = Forecast(
        symbol=symbol,
        target=target,
        issued=issued_at is not None,
        issued_at=issued_at,
        origin=origin,
        origin_close=origin_close,
        data_until=data_until(manifest),
        model=Model(family=manifest.family, version=version, digest=digest),
        calibrated=calibrated,
        calibration=calibration,
        levels=list(manifest.levels),
        steps=_steps(sessions, stated, beside),
        age_days=0,
        stale=False,
        trailing=record,
        no_skill=not decision["passed"],
        reason=decision["reason"],
        remark=_remark(decision, record),
    )
    return dated(undated, today, missed)


def dated(forecast: Forecast, today: date, missed: bool) -> Forecast:
    """The same forecast, with its age of another day."""
    age = (today - forecast.origin).days
    return forecast.model_copy(update={"age_days": age, "stale": age > _FRESH_DAYS or missed})


def data_until(manifest: Manifest) -> date:
    """Last session that was read to train a model, or to choose among its weights."""
    return max(manifest.trained_until, manifest.chosen_until or manifest.trained_until)


def narrowed(forecast: Forecast, horizon: int | None, levels: Collection[float] | None) -> Forecast:
    """Only some of a forecast.

    Arguments:
        horizon: Steps up to this one; None for all.
        levels: Of the forecast's own; None for all.
    """
    said: dict[str, Any] = {}
    if horizon is not None:
        said["steps"] = [step for step in forecast.steps if step.horizon <= horizon]
        said["trailing"] = [line for line in forecast.trailing if line.horizon <= horizon]
    if levels is not None:
        keep = [place for place, level in enumerate(forecast.levels) if level in levels]
        said["levels"] = [forecast.levels[place] for place in keep]
        said["steps"] = [_thinned(step, keep) for step in said.get("steps", forecast.steps)]
    return forecast.model_copy(update=said)


def _thinned(step: Step, keep: Sequence[int]) -> Step:
    columns = {
        name: [column[place] for place in keep]
        for name in ("price_quantiles", "return_quantiles", "walk_price_quantiles")
        if (column := getattr(step, name)) is not None
    }
    return step.model_copy(update=columns)


@dataclass(frozen=True)
class _Stated:
    """What is said of each session, and the prices it stands for [H, Q]."""

    values: Floats
    prices: Floats

    @classmethod
    def check(
        cls, quantiles: ArrayLike, sessions: Sequence[date], close: float, manifest: Manifest, digest: str
    ) -> "_Stated":
        values = np.asarray(quantiles, dtype=np.float64)
        expected = (manifest.target.horizon, len(manifest.levels))
        if values.shape != expected or len(sessions) != expected[0]:
            raise OutputInvalid(digest, f"quantiles {list(values.shape)} for {len(sessions)} sessions, not {expected}")
        with np.errstate(over="ignore", invalid="ignore"):
            prices = manifest.target.outcome(close, values)
        if not (np.isfinite(values).all() and np.isfinite(prices).all()):
            raise OutputInvalid(digest, "a quantile is not finite")
        if (np.diff(values) < 0).any():
            raise OutputInvalid(digest, "quantiles cross")
        if manifest.target.kind == "return" and (prices <= 0).any():
            raise OutputInvalid(digest, "a price is not positive")
        return cls(values, prices)


def _steps(sessions: Sequence[date], stated: _Stated, beside: _Stated | None) -> list[Step]:
    return [
        Step(
            horizon=place + 1,
            session=session,
            price_quantiles=stated.prices[place].tolist(),
            return_quantiles=stated.values[place].tolist(),
            walk_price_quantiles=None if beside is None else beside.prices[place].tolist(),
        )
        for place, session in enumerate(sessions)
    ]


def _nothing(horizon: int) -> Line:
    return Line(horizon, 0, 0, None, None, {})


def _trailing(line: Line) -> Trailing:
    return Trailing(
        horizon=line.horizon,
        n=line.n,
        skill=line.skill,
        skill_se=line.error,
        coverage={f"{interval:.0%}": share for interval, share in line.coverage.items()},
    )


def _remark(decision: Mapping[str, Any], record: Iterable[Trailing]) -> str | None:
    """Where there is no skill: nothing passed the gate, or none of the horizons with enough sessions has any."""
    if not decision["passed"]:
        return _NO_SKILL
    told = [line.skill for line in record if line.skill is not None and line.skill_se is not None]
    return _NO_LIVE_SKILL if told and max(told) <= 0 else None

"""What a champion says of rows that a caller hands in: raw, never written down, and without a record."""

import logging
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from forecaster.contract import Floats, Target, WindowSpec
from forecaster.errors import OutputInvalid
from forecaster.paths import sample
from serving.bodies import refused
from serving.demand import beside, require_whole
from serving.engine import Loaded
from serving.schemas.demand import Paths, PredictedStep, Prediction, Rows
from serving.schemas.forecasts import Model

log = logging.getLogger(__name__)

_RAW = "raw: not calibrated and without a track record"
_NOTHING_USABLE = "no usable forecast comes of these rows and this close"


def predict(loaded: Loaded, asked: Rows) -> Prediction:
    """What a champion says of a caller's own rows.

    Raises:
        RequestValidationError: They do not fit the model, or nothing usable comes of them.
    """
    champion, manifest = loaded.champion, loaded.runtime.manifest
    target = manifest.target
    horizon, keep = asked.horizon or target.horizon, _places(manifest.levels, asked.levels)
    if horizon > target.horizon:
        raise refused(f"at most {target.horizon}", "horizon")
    if target.kind == "return" and asked.close <= 0:
        raise refused("must be above 0: it is a price", "close")
    values, walk = _answers(loaded, _context(manifest.window, asked.context))
    prices = _prices(target, asked.close, values)[:, keep].tolist()
    walk_prices = None if walk is None else _prices(target, asked.close, walk)[:, keep].tolist()
    returns = values[:, keep].tolist()
    return Prediction(
        target=champion.target,
        model=Model(family=manifest.family, version=champion.version, digest=champion.digest),
        calibrated=False,
        issued=False,
        remark=_RAW,
        no_skill=not champion.decision["passed"],
        reason=champion.decision["reason"],
        levels=[manifest.levels[place] for place in keep],
        steps=[
            PredictedStep(
                horizon=step + 1,
                price_quantiles=prices[step],
                return_quantiles=returns[step],
                walk_price_quantiles=None if walk_prices is None else walk_prices[step],
            )
            for step in range(horizon)
        ],
        paths=None if asked.paths is None else _drawn(target, asked.close, values, asked.paths)[:, :horizon].tolist(),
    )


def _drawn(target: Target, close: float, values: Floats, asked: Paths) -> Floats:
    """Sample paths [N, H], all steps of them: fewer are the same paths, cut."""
    return _prices(target, close, sample(values, asked.count, asked.seed))


def _answers(loaded: Loaded, context: NDArray[np.float32]) -> tuple[Floats, Floats | None]:
    """Quantiles [H, Q] of the champion, and of the random walk beside it.

    Raises:
        RequestValidationError: They are none. The model has answered its golden context, so it is these rows.
        OutputInvalid: There are too many or too few.
    """
    manifest, digest = loaded.runtime.manifest, loaded.champion.digest
    try:
        values = loaded.runtime.quantiles(context)[0]
        walk = beside(loaded, context, values)
    except OutputInvalid as error:
        log.info("no forecast from a caller's rows: %s", error)
        raise refused(_NOTHING_USABLE, "context") from None
    require_whole(values, manifest, digest)
    if walk is not None:
        require_whole(walk, manifest, digest)
    return values, walk


def _prices(target: Target, close: float, ahead: Floats) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        prices = target.outcome(close, ahead)
    if not np.isfinite(prices).all() or (target.kind == "return" and (prices <= 0).any()):
        raise refused(_NOTHING_USABLE, "context")
    return prices


def _context(window: WindowSpec, rows: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    """The last L rows as a model sees them [1, L, C]; who the series is, it is not told."""
    count = len(window.features)
    if len(rows) < window.context or set(map(len, rows)) != {count}:
        named = ", ".join(window.features)
        raise refused(f"expected at least {window.context} rows, each of {count} numbers: {named}", "context")
    context = np.zeros((1, window.context, len(window.channels)), dtype=np.float32)
    with np.errstate(over="ignore"):
        context[0, :, :count] = rows[-window.context :]
    if not np.isfinite(context).all():
        raise refused("a number is beyond single precision", "context")
    return context


def _places(levels: Sequence[float], asked: Collection[float] | None) -> list[int]:
    return [place for place, level in enumerate(levels) if asked is None or level in asked]

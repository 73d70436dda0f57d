"""What is learned by asking: of forecasts whose dependence is known, and of artifacts."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import ndtri
from small_market import Market, trained

from forecaster.contract import LEVELS
from forecaster.diagnostics.groups import channel_groups
from forecaster.diagnostics.memory import effective_length
from forecaster.diagnostics.pit import BINS, pit
from forecaster.diagnostics.sensitivity import Sensitivity, crps_loss, sensitivity
from forecaster.diagnostics.tampering import drop_past, other_origins, replace_past, shuffle_past, swap_channels
from forecaster.errors import ConfigError
from forecaster.families.ar import ArFamily
from forecaster.families.gru import GruFamily
from forecaster.families.naive import NaiveFamily
from forecaster.runtime import Runtime

SERIES = 0.01 * np.random.default_rng(0).standard_normal((300, 3))
CONTEXTS = np.ascontiguousarray(sliding_window_view(SERIES, 24, axis=0).transpose(0, 2, 1), dtype=np.float32)
"""[277, 24, 3] of neighbouring origins."""


def last_three(contexts: np.ndarray) -> np.ndarray:
    """Quantiles [N, 2, Q] whose location is made of the last three returns, whatever came before."""
    location = contexts[:, -3:, 0].astype(np.float64).sum(axis=1)
    return location[:, None, None] + 0.002 * np.linspace(-2, 2, len(LEVELS)) * np.ones((1, 2, 1))


def outcomes_of(quantiles: np.ndarray) -> np.ndarray:
    return quantiles[..., len(LEVELS) // 2] + 0.001 * np.random.default_rng(3).standard_normal(quantiles.shape[:2])


LOSS = crps_loss(last_three, outcomes_of(last_three(CONTEXTS)))
KEPT = (1, 2, 3, 4, 8, 23)


@pytest.mark.parametrize("cut", [drop_past, lambda kept: replace_past(kept, block=10)], ids=["dropped", "replaced"])
def test_a_forecast_from_three_sessions_has_a_memory_of_three(cut):
    found = sensitivity([LOSS], CONTEXTS, {str(kept): cut(kept) for kept in KEPT}, repeats=2)
    by_kept = {kept: found[str(kept)] for kept in KEPT}
    assert [by_kept[kept].mean == 0 for kept in KEPT] == [False, False, True, True, True, True]
    assert effective_length(by_kept, tolerance=0.01) == 3
    assert effective_length({kept: by_kept[kept] for kept in (1, 2)}, tolerance=0.01) is None


def test_a_memory_is_not_shortened_by_a_chance_hit():
    def worse(increase: float) -> Sensitivity:
        return Sensitivity(np.array([[increase]]), 0.0)

    assert effective_length({1: worse(0.3), 2: worse(0.0), 4: worse(0.2), 8: worse(0.0)}, 0.01) == 8


def test_a_channel_that_is_not_used_has_no_importance_and_one_that_is_has():
    groups = {"used": (0,), "unused": (1,), "unused too": (1, 2), "all": (0, 1, 2)}
    tampers = {name: swap_channels(channels, block=10) for name, channels in groups.items()}
    found = sensitivity([LOSS, LOSS], CONTEXTS, tampers, repeats=3)
    assert (found["unused"].increases == 0).all()
    assert (found["unused too"].increases == 0).all()
    assert found["used"].mean > 1
    assert found["used"].error > 0
    assert found["used"].mean > 4 * found["used"].error
    assert np.array_equal(found["used"].increases, found["all"].increases)  # the same origins are swapped


def test_models_are_shown_the_same_and_scatter_by_themselves():
    def shy(contexts: np.ndarray) -> np.ndarray:
        return last_three(0.5 * contexts)

    outcomes = outcomes_of(last_three(CONTEXTS))
    tampers = {"price": swap_channels((0,), block=10)}
    twins = sensitivity([LOSS, LOSS], CONTEXTS, tampers, repeats=3)["price"]
    assert twins.increases.shape == (2, 3)
    assert twins.seed_scatter == 0
    assert twins.repeat_scatter > 0
    others = sensitivity([LOSS, crps_loss(shy, outcomes)], CONTEXTS, tampers, repeats=3)["price"]
    assert others.seed_scatter > 0
    assert others.seed_scatter == pytest.approx(float(np.std(others.increases.mean(axis=1), ddof=1)))
    alone = sensitivity([LOSS], CONTEXTS, tampers, repeats=1)["price"]
    assert np.isnan(alone.seed_scatter)
    assert np.isnan(alone.repeat_scatter)


def test_tampering_is_the_same_for_the_same_seed_and_leaves_the_contexts_alone():
    before = CONTEXTS.copy()
    tampers = {"price": swap_channels((0,), 10), "order": shuffle_past(1), "past": replace_past(2, 10)}
    one, other = (sensitivity([LOSS], CONTEXTS, tampers, repeats=2, seed=5) for _ in range(2))
    assert all(np.array_equal(one[name].increases, other[name].increases) for name in tampers)
    assert np.array_equal(CONTEXTS, before)


def test_order_matters_to_who_reads_it_and_not_to_who_takes_a_mean():
    def mean(contexts: np.ndarray) -> np.ndarray:
        """Of whole numbers, which add up to the same in any order."""
        total = np.round(1000 * contexts).sum(axis=1, keepdims=True)
        return last_three(total.repeat(3, axis=1) / 1000)

    indifferent = crps_loss(mean, outcomes_of(last_three(CONTEXTS)))
    found = sensitivity([indifferent, LOSS], CONTEXTS, {"order": shuffle_past(1), "older": shuffle_past(3)}, repeats=3)
    assert (found["order"].increases[0] == 0).all()
    assert (found["order"].increases[1] > 0).all()
    assert (found["older"].increases == 0).all()


def test_shuffling_keeps_the_newest_and_each_session_whole():
    shown = shuffle_past(4)(CONTEXTS, np.random.default_rng(0))
    assert np.array_equal(shown[:, -4:], CONTEXTS[:, -4:])
    assert not np.array_equal(shown[:, :-4], CONTEXTS[:, :-4])
    for place in (0, 7):
        straight, mixed = (set(map(tuple, of[place].tolist())) for of in (CONTEXTS, shown))
        assert straight == mixed
    orders = [shown[place, :-4, 0].argsort().argsort().tolist() != CONTEXTS[place, :-4, 0].argsort().argsort().tolist()
              for place in range(5)]  # fmt: skip
    assert all(orders)


@pytest.mark.parametrize(("count", "block"), [(100, 10), (101, 10), (7, 21), (500, 21), (2, 1)])
def test_every_origin_gets_another_and_neighbours_stay_neighbours(count, block):
    for seed in range(20):
        order = other_origins(count, block, np.random.default_rng(seed))
        assert sorted(order.tolist()) == list(range(count))
        assert (order != np.arange(count)).all()
        assert (np.diff(order) != 1).sum() <= max(2, count // block) - 1


def test_a_swap_moves_one_group_and_nothing_else():
    shown = swap_channels((1, 2), block=10)(CONTEXTS, np.random.default_rng(0))
    assert np.array_equal(shown[..., 0], CONTEXTS[..., 0])
    assert not np.array_equal(shown[..., 1], CONTEXTS[..., 1])
    source = [int(np.flatnonzero((CONTEXTS[..., 1:] == one[:, 1:]).all(axis=(1, 2)))[0]) for one in shown]
    assert sorted(source) == list(range(len(CONTEXTS)))


def test_channels_are_grouped_by_what_they_tell_about():
    channels = ("log_return", "log_range", "volume_change", "log_return(^IXIC)", "volume_level(^IXIC)", "change(DGS10)",
                "weekday_sin", "gap")  # fmt: skip
    assert channel_groups(channels, series=("DGS10",)) == {
        "price": (0, 1), "volume": (2,), "indices": (3, 4), "macro": (5,), "calendar": (6, 7),
    }  # fmt: skip
    assert channel_groups(("log_return",), series=()) == {"price": (0,)}
    with pytest.raises(ConfigError):
        channel_groups(("nonsense",), series=())


def normal_quantiles(scale: float, count: int) -> np.ndarray:
    return np.broadcast_to(scale * ndtri(LEVELS), (count, 2, len(LEVELS)))


def test_a_calibrated_forecast_has_a_flat_histogram_and_others_do_not():
    outcomes = np.random.default_rng(0).standard_normal((4000, 2))
    right, wide, narrow = (pit(normal_quantiles(scale, 4000), outcomes) for scale in (1.0, 1.5, 0.67))
    assert [right.holds, wide.holds, narrow.holds] == [True, False, False]
    for found in (right, wide, narrow):
        assert found.shares.shape == (BINS,)
        assert found.shares.sum() == pytest.approx(1)
    assert wide.shares[0] < 0.05 < wide.shares[9]
    assert narrow.shares[9] < 0.05 < narrow.shares[0]


def test_an_outcome_is_counted_in_the_bin_whose_quantiles_enclose_it():
    quantiles = np.linspace(-1, 1, len(LEVELS))[None, None] * np.ones((3, 1, 1))
    median = LEVELS.index(0.5)
    between = (quantiles[0, 0, median] + quantiles[0, 0, median + 1]) / 2
    shares = pit(quantiles, np.array([[-9.0], [between], [9.0]])).shares
    assert np.flatnonzero(shares).tolist() == [0, 10, 19]


def test_the_band_keeps_the_calibrated_as_often_as_it_says():
    rng = np.random.default_rng(1)
    quantiles = normal_quantiles(1.0, 500)
    kept = np.mean([pit(quantiles, rng.standard_normal((500, 2)), confidence=0.9).holds for _ in range(400)])
    assert 0.85 <= kept <= 0.96


def test_longer_horizons_have_a_wider_band():
    near, far = (pit(normal_quantiles(1.0, 500), np.zeros((500, 2)), horizon) for horizon in (1, 2))
    assert far.high - 0.05 == pytest.approx((near.high - 0.05) * 2**0.5)


def test_artifacts_are_asked_through_the_runtime_whatever_their_family(synthetic: Market):
    windows, origins = synthetic.windows, synthetic.windows.span(None, None)
    train, held = origins[:70], origins[80:]
    groups = channel_groups(synthetic.window.features, series=("DAILY", "MONTHLY"))
    assert list(groups) == ["price", "volume", "indices", "macro"]
    tampers = {name: swap_channels(channels, block=5) for name, channels in groups.items()} | {"past": drop_past(12)}
    found = {}
    for family in (NaiveFamily(name="naive"), ArFamily(name="ar", order=2), GruFamily(name="gru")):
        runtime = Runtime(trained(family, synthetic, windows, train))
        loss = crps_loss(runtime.quantiles, windows.targets[held])
        found[family.name] = sensitivity([loss], windows.contexts(held), tampers, repeats=2)
    for name in ("volume", "indices", "macro"):  # only the network reads them
        assert [(found[model][name].increases != 0).any() for model in ("naive", "ar", "gru")] == [False, False, True]
    assert all((found[model][name].increases != 0).all() for model in found for name in ("price", "past"))

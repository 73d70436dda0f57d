"""The public protocols against plain loops, published figures on the real files, and that no part leaks into others."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from rich.table import Table

from forecaster.contract import MEDIAN, Floats
from forecaster.errors import ConfigError
from forecaster.families.ar import ArFamily
from forecaster.families.naive import NaiveFamily
from pipelines.bench import published
from pipelines.bench.protocols import (
    DAYS,
    FIRST_UNSEEN,
    HORIZONS,
    ROUNDS,
    SEASON,
    SOURCES,
    Name,
    Panel,
    Split,
    errors,
    read,
    repeat,
    seasonal_naive,
    weighted_quantile_loss,
)
from pipelines.bench.report import Claim, Long, Report, Short, Tried
from pipelines.bench.run import attempts, beside_repeat, chosen, mean_wql, repeats, reproduced, rounds
from pipelines.bench.variants import ETTH1, EXCHANGE, SHORT, Variant, fitted
from tests.real_data import DATA, with_data

BOTH: tuple[Name, Name] = ("exchange_rate", "etth1")
AR = Variant(ArFamily(name="ar(4)", order=4, head="gaussian"), context=64, epochs=4)


def walk(rows: int, series: int, seed: int = 0) -> Floats:
    """Random walks of different sizes [T, S]."""
    steps = np.random.default_rng(seed).normal(size=(rows, series)) * np.arange(1, series + 1)
    return np.asarray(10 + np.cumsum(steps, axis=0))


# The protocols, each against a loop that spells it out.


@pytest.mark.parametrize(("horizon", "drop_last"), [(1, False), (7, False), (7, True)])
def test_repeat_is_the_loop_of_the_papers(horizon: int, drop_last: bool) -> None:
    raw, split = walk(300, 3), Split(200, 220, 300)
    scaled = (raw - raw[:200].mean(0)) / raw[:200].std(0)
    windows = [scaled[start : start + horizon] - scaled[start - 1] for start in range(220, 300 - horizon + 1)]
    if drop_last:
        windows = windows[: len(windows) // 32 * 32]
    panel = Panel.of(raw, split)
    found = repeat(panel, panel.test(horizon, drop_last), horizon)
    assert found.mse == pytest.approx(np.mean([np.mean(window**2) for window in windows]), rel=1e-12)
    assert found.mae == pytest.approx(np.mean([np.mean(abs(window)) for window in windows]), rel=1e-12)
    assert found.by_origin == pytest.approx([np.mean(window**2) for window in windows], rel=1e-12)


def test_errors_are_means_over_windows_steps_and_series() -> None:
    rng = np.random.default_rng(1)
    ours, outcomes = rng.normal(size=(2, 3, 5, 4))  # series, windows, steps
    found = errors(list(ours), list(outcomes))
    assert found.mse == pytest.approx(np.mean((ours - outcomes) ** 2))
    assert found.mae == pytest.approx(np.mean(abs(ours - outcomes)))


def test_weighted_quantile_loss_is_the_loop_of_gluonts() -> None:
    rng = np.random.default_rng(2)
    outcomes = rng.normal(size=(2, 3, 4))
    quantiles = np.sort(rng.normal(size=(2, 3, 4, 9)), axis=-1)
    by_level = []
    for place in range(9):
        level, total = (place + 1) / 10, 0.0
        for at in np.ndindex(outcomes.shape):
            y, q = outcomes[at], quantiles[(*at, place)]
            total += 2 * abs((q - y) * ((y <= q) - level))
        by_level.append(total / abs(outcomes).sum())
    assert weighted_quantile_loss(quantiles, outcomes) == pytest.approx(np.mean(by_level), rel=1e-12)


def test_seasonal_naive_repeats_the_last_season() -> None:
    values = np.arange(40.0).reshape(20, 2)
    found = seasonal_naive(values, np.array([9, 14]), horizon=7, season=5)
    assert found.shape == (2, 2, 7)
    assert found[0, 0].tolist() == [values[row, 0] for row in (5, 6, 7, 8, 9, 5, 6)]
    assert found[1, 1].tolist() == [values[row, 1] for row in (10, 11, 12, 13, 14, 10, 11)]


def test_splits_are_the_published_ones() -> None:
    assert Split.of("exchange_rate", 7588) == Split(5311, 6071, 7588)
    assert Split.of("etth1", 17420) == Split(8640, 11520, 14400)


def test_targets_of_a_part_lie_in_it() -> None:
    panel = Panel.of(walk(300, 2), Split(200, 240, 300))
    assert panel.learning(16, 7)[[0, -1]].tolist() == [16, 192]  # 192 + 7 is the last training row
    assert panel.validation(7)[[0, -1]].tolist() == [199, 232]
    assert panel.test(7)[[0, -1]].tolist() == [239, 292]
    _, at = rounds(walk(400, 2), 250, 5)
    assert at.tolist() == [249, 279, 309, 339, 369]


# The files.


def test_a_missing_folder_or_file_names_the_remedy(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        for name in BOTH:
            with pytest.raises(ConfigError) as caught:
                read(name, folder)
            line = str(caught.value)
            assert SOURCES[name].files[0] in line
            assert "https://" in line
            assert "\n" not in line


@pytest.mark.parametrize("text", ["", "1,2,3\n", "a,b,c,d,e,f,g,h\n", "1,2,3,4,5,6,7,nan\n"])
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "exchange_rate.txt").write_text(text)
    with pytest.raises(ConfigError) as caught:
        Split.of("exchange_rate", len(read("exchange_rate", tmp_path)))
    assert "\n" not in str(caught.value)
    assert "download" in str(caught.value)


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"1,2,3,4,5,6,7,8\n" * 1000)
    (tmp_path / "exchange_rate.txt.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError):
        read("exchange_rate", tmp_path)


def test_etth1_is_read_without_its_dates(tmp_path: Path) -> None:
    (tmp_path / "ETTh1.csv").write_text("date,a,b,c,d,e,f,g\n2016-07-01 00:00:00,1,2,3,4,5,6,7\n")
    assert read("etth1", tmp_path).tolist() == [[1, 2, 3, 4, 5, 6, 7]]


# Families under the protocols.


@pytest.mark.parametrize("variant", [AR, Variant(NaiveFamily(name="naive"), context=64)], ids=lambda one: one.name)
def test_nothing_comes_from_after_the_training_rows_or_after_an_origin(variant: Variant) -> None:
    raw, split, horizon = walk(400, 2), Split(300, 340, 400), 5
    changed = raw.copy()
    changed[350:] *= -3.0
    before, after = (fitted(variant, Panel.of(values, split), horizon) for values in (raw, changed))
    for one, other in zip(before.models, after.models, strict=True):
        for name, tensor in one.state_dict().items():
            assert np.array_equal(tensor.numpy(), other.state_dict()[name].numpy()), name
    known, late = np.arange(300, 350), np.arange(352, 390)
    for early, same in zip(before.at_level(known, 3), after.at_level(known, 3), strict=True):
        assert np.array_equal(early, same)
    assert not np.array_equal(before.at_level(late, 3)[0], after.at_level(late, 3)[0])


def test_autoregression_on_differences_learns_where_a_level_returns_to() -> None:
    """White noise around a level: the best forecast takes back most of the last step, "repeat" is twice as wrong."""
    panel = Panel.of(np.random.default_rng(3).normal(size=(3000, 2)), Split(2000, 2400, 3000))
    variant = Variant(ArFamily(name="ar(16)", order=16, head="gaussian"), context=64, epochs=40)
    at = panel.test(3)
    medians = fitted(variant, panel, 3).at_level(at, MEDIAN)
    found = errors(medians, [panel.outcomes(number, at, 3) for number in range(2)])
    assert found.mse < 0.6 * repeat(panel, at, 3).mse


def test_random_walk_answers_in_the_series_own_units() -> None:
    values = walk(700, 3)
    panel, at = rounds(values, 500, 5)
    forecaster = fitted(Variant(NaiveFamily(name="naive", scale="empirical"), context=32), panel, DAYS)
    loss = mean_wql(forecaster, panel, values, at)
    point = np.repeat(values[at][:, :, None, None], DAYS, axis=2).repeat(9, axis=3)
    outcomes = np.stack([values[origin + 1 : origin + 1 + DAYS].T for origin in at])
    assert 0.5 < loss / weighted_quantile_loss(point, outcomes) < 1.0


def test_the_claim_of_beating_repeat_says_what_the_figures_say() -> None:
    """On random walks a trained family is as good as repeat at best; whatever came out, the sentence must agree."""
    panel = Panel.of(walk(3400, 2), Split(1500, 2400, 3400))
    told: list[str] = []
    at = panel.validation(HORIZONS[-1])
    trials = attempts([AR], panel, HORIZONS[-1], lambda one: float(one.at_level(at, MEDIAN)[0].std()), told.append)
    line, claim = beside_repeat(chosen(trials), panel)
    walks = [repeat(panel, panel.test(horizon), horizon).mse for horizon in HORIZONS]
    assert claim.holds == all(ours <= theirs for ours, theirs in zip(line.mse, walks, strict=True))
    assert ("none is" in claim.says) is not claim.holds
    assert told == [f"tried     ar(4): {trials[0].score:.5f}"]


def test_every_variant_leaves_room_for_its_reach() -> None:
    for variant in (*ETTH1, *EXCHANGE, *SHORT):
        window = variant.spec(DAYS).window
        assert variant.family.reach <= window.burn_in < window.context
    for group in (ETTH1, EXCHANGE, SHORT):
        assert len({variant.name for variant in group}) == len(group)


# What is shown.


def test_a_report_is_one_json_object_and_tables() -> None:
    report = Report(
        "etth1",
        long=(Long("theirs", "published", (1.0,) * 4, (2.0,) * 4), Long("ours", "ours", (0.5,), (0.25,))),
        short=(Short("naive", "ours", 0.007),),
        tried=(Tried("ar", "validation MSE", 0.5, True), Tried("gru", "validation MSE", 0.6, False)),
        claims=(Claim("so it is", True), Claim("so it is not", False)),
        looks=3,
    )
    record = json.loads(json.dumps(report.record()))
    assert record["benchmark"] == "etth1"
    assert record["variants_tried"] == 2
    assert record["earlier_looks_at_test"] == 3
    assert record["long"][1] == {"model": "ours", "source": "ours", "mse": [0.5], "mae": [0.25]}
    tables = [view for view in report.views() if isinstance(view, Table)]
    assert [table.row_count for table in tables] == [2, 1, 2]
    lines = [view for view in report.views() if isinstance(view, str)]
    assert lines[-2:] == ["holds          so it is", "DOES NOT HOLD  so it is not"]


# The real files.


@with_data
@pytest.mark.parametrize("name", BOTH)
def test_repeat_last_is_reproduced_to_four_digits(name: Name) -> None:
    values = read(name, DATA / "benchmark")
    walks = repeats(Panel.of(values, Split.of(name, len(values))))
    assert [claim.says for claim in reproduced(name, walks) if not claim.holds] == []
    assert [round(mse, 4) for mse in walks[1].mse] == list(published.REPEAT_ALL[name])


@with_data
def test_seasonal_naive_of_gluonts_is_reproduced() -> None:
    values = read("exchange_rate", DATA / "benchmark")
    _, at = rounds(values, FIRST_UNSEEN, ROUNDS)
    point = seasonal_naive(values, at, DAYS, SEASON)[..., None].repeat(9, axis=-1)
    outcomes = np.stack([values[origin + 1 : origin + 1 + DAYS].T for origin in at])
    assert round(weighted_quantile_loss(point, outcomes), 5) == published.SEASONAL_NAIVE


@with_data
def test_the_random_walk_of_this_ladder_meets_the_goal_under_gluonts() -> None:
    values = read("exchange_rate", DATA / "benchmark")
    panel, at = rounds(values, FIRST_UNSEEN, ROUNDS)
    assert SHORT[0].family == NaiveFamily(name=SHORT[0].name)  # as it is out of the box
    assert mean_wql(fitted(SHORT[0], panel, DAYS), panel, values, at) <= 0.0077

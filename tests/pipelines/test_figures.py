"""Figures: what is drawn is what was given, nothing is cut off, and no text lies on another."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from forecaster.contract import LEVELS
from pipelines import figures
from pipelines.figures.style import GREEN, RED
from tests.pipelines.legible import require_legible

RNG = np.random.default_rng(0)
NAMES = (
    "naive",
    "ar",
    "mlp",
    "rnn-tanh",
    "rnn-relu",
    "lstm",
    "gru",
    "seq2seq",
    "transformer",
    "har",
    "garch",
    "pool",
    "13th",
)
AGES = np.arange(64)
SESSIONS = np.datetime64("2014-01-02") + np.arange(64)


def history(epochs: int) -> list[dict[str, float]]:
    falling = np.exp(-np.arange(epochs) / 5)
    return [{"train_loss": 1.2 + value, "validation_loss": 0.7 + value} for value in falling.tolist()]


def rows(count: int) -> list[dict[str, object]]:
    skills = np.linspace(0.04, -0.03, count).tolist()
    return [
        {"name": name, "skill": skill, "skill_se": 0.0 if name == "naive" else 0.008, "dm_p": 0.03}
        for name, skill in zip(NAMES, skills, strict=False)
    ]


def shares(horizon: int, heads: int) -> np.ndarray:
    raw = RNG.random((horizon, heads, len(AGES)))
    return raw / raw.sum(-1, keepdims=True)


GRADIENTS = {name: 0.9**AGES * (1 + place) for place, name in enumerate(NAMES)}
KEPT = np.array([1, 2, 3, 5, 8, 13, 21, 34, 63, 64])
MEMORY = {name: (KEPT, 0.1 / KEPT * (1 + place / 5) - 0.001) for place, name in enumerate(NAMES)}
PARTS = ("price", "volume", "indices", "macro", "calendar", "order")
INCREASES = {name: {part: 0.01 * RNG.standard_normal((3, 5)) for part in PARTS} for name in NAMES}
ERRORS = {name: dict.fromkeys(PARTS, 0.002) for name in NAMES}
HISTOGRAMS = {name: RNG.dirichlet(np.full(20, 50.0)) for name in NAMES}
GATES = {gate: 0.6 + 0.1 * np.cos(AGES / 9 + place) for place, gate in enumerate(("input", "forget", "output"))}
FORECAST = 100 + np.sort(RNG.standard_normal((2, len(LEVELS))), axis=1)

DRAWN: dict[str, Callable[[], Figure]] = {
    "leaderboard": lambda: figures.leaderboard(rows(12), 900, "2015-01-02", "2018-12-28"),
    "leaderboard with seeds": lambda: figures.leaderboard(
        rows(12), 900, "2015-01-02", "2018-12-28", {"gru": [0.01, 0.012], "lstm": [0.0, 0.001]}
    ),
    "leaderboard of two": lambda: figures.leaderboard(rows(2), 900, "2015-01-02", "2018-12-28"),
    "calibration": lambda: figures.calibration({name: np.array(LEVELS) for name in NAMES}, NAMES[:5]),
    "pit of all": lambda: figures.pit(HISTOGRAMS, (0.02, 0.08)),
    "pit of one": lambda: figures.pit({"gru": HISTOGRAMS["gru"]}, (0.02, 0.08), horizon=5),
    "training": lambda: figures.training_curves({name: history(30) for name in NAMES}),
    "training without validation": lambda: figures.training_curves({"gru": [{"train_loss": 1.0}, {"train_loss": 0.5}]}),
    "learning of all": lambda: figures.learning_curves({name: [history(30), history(25)] for name in NAMES}),
    "learning of one": lambda: figures.learning_curves({"gru": [history(30)]}),
    "gradient": lambda: figures.gradient_through_time(GRADIENTS),
    "gradient of the body": lambda: figures.gradient_through_time(GRADIENTS, GRADIENTS),
    "memory": lambda: figures.memory(MEMORY, 0.005, dict.fromkeys(NAMES, 34)),
    "importance of all": lambda: figures.importance(INCREASES, ERRORS),
    "importance of one": lambda: figures.importance({"gru": INCREASES["gru"]}, ERRORS),
    "lags": lambda: figures.lag_weights(0.02 * RNG.standard_normal((5, 2, 10))),
    "one lag": lambda: figures.lag_weights(0.02 * RNG.standard_normal((1, 1, 1))),
    "attention of heads": lambda: figures.attention_by_age(shares(2, 4), "transformer"),
    "attention of one": lambda: figures.attention_by_age(shares(5, 1), "seq2seq"),
    "map of heads": lambda: figures.attention_map(
        shares(2, 4), SESSIONS, 0.01 * RNG.standard_normal(64), "transformer"
    ),
    "map of one": lambda: figures.attention_map(shares(1, 1), SESSIONS, 0.01 * RNG.standard_normal(64), "seq2seq"),
    "gates": lambda: figures.gates(GATES, dict.fromkeys(GATES, HISTOGRAMS["gru"]), "lstm"),
    "fan": lambda: figures.fan_chart(
        "^GSPC", "champion: gru", (SESSIONS, 100 + np.zeros(64)), ["2014-03-07", "2014-03-10"], FORECAST, FORECAST
    ),
}


@pytest.fixture(scope="module", params=DRAWN.values(), ids=DRAWN.keys())
def figure(request: pytest.FixtureRequest) -> Figure:
    """A figure, laid out."""
    made: Figure = request.param()
    FigureCanvasAgg(made).draw()
    return made


def lines(axes: Axes) -> list[np.ndarray]:
    return [np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()]


def test_nothing_is_cut_off_and_no_text_lies_on_another(figure):
    require_legible(figure)


def test_a_figure_says_what_is_seen(figure):
    assert len(figure.get_suptitle()) > 8
    first = figure.axes[0]
    assert first.get_xlabel() or first.get_ylabel() or first.get_yticklabels()


def test_a_skill_is_green_above_its_error_and_red_below_and_its_seeds_are_beside_it():
    drawn = figures.leaderboard(
        [
            {"name": "good", "skill": 0.05, "skill_se": 0.01, "dm_p": 0.0},
            {"name": "naive", "skill": 0.0, "skill_se": 0.0, "dm_p": 1.0},
            {"name": "bad", "skill": -0.05, "skill_se": 0.01, "dm_p": 1.0},
        ],
        900,
        "2015-01-02",
        "2018-12-28",
        {"good": [0.04, 0.06]},
    )
    axes = drawn.axes[0]
    assert [to_hex(bar[0].get_color()) for bar in axes.containers][::2] == [RED, GREEN]  # the lowest line first
    found = [line.get_xdata() for line in axes.get_lines() if list(line.get_xdata()) == [0.04, 0.06]]
    assert len(found) == 1
    assert [label.get_text() for label in axes.get_yticklabels()][2].startswith("good")


def test_the_gradient_is_drawn_relative_to_the_origin_and_named_with_its_length():
    axes = figures.gradient_through_time({"gru": 3.0 * 0.5**AGES, "ar": np.array([4.0, 2.0, 0.0, 0.0])}).axes[0]
    gru, ar = lines(axes)
    np.testing.assert_allclose(gru, 0.5**AGES)
    np.testing.assert_allclose(ar[:2], [1, 0.5])
    assert np.isnan(ar[2:]).all()  # a fixed window ends
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["gru (5, x0.50)", "ar (2)"]


def test_the_memory_is_marked_where_it_is():
    axes = figures.memory({"gru": MEMORY["ar"]}, 0.005, {"gru": 34}).axes[0]
    curve, dot = lines(axes)[:2]
    np.testing.assert_allclose(curve, MEMORY["ar"][1])
    assert dot.tolist() == [MEMORY["ar"][1][7]]
    never = figures.memory({"gru": MEMORY["ar"]}, 0.005, {"gru": None}).axes[0]
    assert lines(never)[1].size == 0
    assert never.get_legend().get_texts()[0].get_text() == "gru (more)"


def test_importance_is_drawn_as_its_mean_with_its_seeds():
    values = np.array([[0.01, 0.03], [0.05, 0.07]])
    axes = figures.importance({"gru": {"price": values}}, {"gru": {"price": 0.01}}).axes[0]
    drawn = [np.asarray(line.get_xdata(), dtype=float).tolist() for line in axes.get_lines()]
    assert pytest.approx([0.04]) in drawn
    assert pytest.approx([0.02, 0.06]) in drawn


def test_bars_outside_the_band_are_red():
    share = np.full(20, 0.05)
    share[3] = 0.2
    axes = figures.pit({"gru": share}, (0.02, 0.08)).axes[0]
    assert [bar.get_height() for bar in axes.patches if bar.get_width() < 0.05] == share.tolist()
    assert [to_hex(bar.get_facecolor()) == RED for bar in axes.patches if bar.get_width() < 0.05].index(True) == 3


def test_learning_curves_show_every_seed_and_its_kept_epoch():
    late = history(10)
    late[6]["validation_loss"] = 0.1
    axes = figures.learning_curves({"gru": [history(30), late]}).axes[0]
    dots = [line.get_xdata()[0] for line in axes.get_lines() if len(line.get_xdata()) == 1]
    assert dots == [30, 7]
    assert sum(len(line.get_xdata()) == 30 for line in axes.get_lines()) == 2  # training and validation


def test_the_map_shows_the_oldest_session_on_the_left():
    newest = np.zeros((1, 1, 64))
    newest[..., 0] = 1.0
    below = figures.attention_map(newest, SESSIONS, np.zeros(64), "seq2seq").axes[1]
    assert np.argmax(np.asarray(below.get_images()[0].get_array())) == 63


def test_lag_weights_are_drawn_as_the_mean_of_their_seeds():
    weights = np.array([[[0.1, 0.2]], [[0.3, 0.4]]])
    found = lines(figures.lag_weights(weights).axes[0])
    np.testing.assert_allclose(found[0], [0.2, 0.3])
    assert [line.tolist() for line in found[1:3]] == [[0.1, 0.2], [0.3, 0.4]]

"""The study's figure: parts and cells as given, and words that claim no more than the intervals allow."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from pipelines.figures import study
from pipelines.figures.study import LUCK, answer
from pipelines.figures.style import BLUE, FADED, GREEN, RED
from tests.pipelines.legible import require_legible

SETS = ("price", "+ momentum", "+ volume", "+ indices", "+ macro")
FAMILIES = ("ar", "garch", "har", "mlp", "lstm", "gru", "transformer")
CLEAR = {"information": (0.024, 0.017, 0.031), "tuning": (0.002, -0.001, 0.005), "model": (0.009, 0.004, 0.014)}
SMALL = {LUCK: (0.002, 0.001, 0.003)}


def cells(families: int, shift: float = 0.0, error: float = 0.004) -> list[dict[str, object]]:
    rng = np.random.default_rng(families)
    return [
        {"information": name, "family": family, "tuned": tuned, "skill_se": error, "p_holm": 0.01,
         "skill": shift + 0.004 * place + 0.004 * rng.standard_normal()}
        for family in FAMILIES[:families]
        for place, name in enumerate(SETS)
        for tuned in (False, True)
    ]  # fmt: skip


NEGATIVE = {"information": (-0.004, -0.009, 0.001), "tuning": (-0.003, -0.006, -0.001), "model": (-0.02, -0.05, -0.01)}


@pytest.mark.parametrize("parts", [CLEAR | SMALL, NEGATIVE | SMALL], ids=["clear", "negative"])
@pytest.mark.parametrize(("families", "shift"), [(1, 0.0), (3, -0.05), (4, 0.05), (7, -0.01)])
def test_nothing_is_cut_off_and_no_text_lies_on_another(parts, families, shift):
    figure = study(cells(families, shift), parts, "AAPL, 1 session ahead, 2010 to 2014")
    require_legible(figure)


def test_parts_are_drawn_in_points_the_largest_first_and_luck_last():
    axes = study(cells(2), {LUCK: (0.01, 0.005, 0.02), **CLEAR}, "AAPL").axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([2.4, 0.9, 0.2, 1.0])
    names = [label.get_text().split("\n")[0] for label in axes.get_yticklabels()]
    assert names == ["information", "model", "tuning", LUCK]
    intervals = [list(line.get_xdata()) for line in axes.get_lines()[:4]]
    np.testing.assert_allclose(intervals, [[1.7, 3.1], [0.4, 1.4], [-0.1, 0.5], [0.5, 2.0]])
    colours = [to_hex(bar.get_facecolor()) for bar in axes.patches]
    assert colours == [BLUE, FADED, FADED, FADED]  # the model's difference may be no more than luck
    assert "2.4 points  (1.7 to 3.1)" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (CLEAR, "It was the information above all: 2.4 points."),
        ({"information": (0.01, 0.008, 0.012), "model": (0.0, -0.01, 0.01)}, "It was the information: 1.0 point."),
        ({"model": (0.02, 0.01, 0.03), "tuning": (0.015, 0.004, 0.026)},
         "It was the model and the tuning; which made more cannot be told."),
        ({"model": (0.001, -0.01, 0.03)}, "None made a difference that can be told from luck."),
        ({"model": (0.004, 0.001, 0.007)}, "None made a difference that can be told from luck."),
        ({"model": (0.001, -0.01, 0.03), "tuning": (-0.02, -0.03, -0.01)},
         "Nothing clearly made it better. The tuning made it worse."),
        ({"model": (0.04, 0.03, 0.05), "tuning": (-0.02, -0.03, -0.01)},
         "It was the model: 4.0 points. The tuning made it worse."),
    ],
)  # fmt: skip
def test_the_answer_claims_no_more_than_the_intervals_allow(parts, said):
    assert answer(parts | SMALL) == said
    assert study(cells(1), parts | SMALL, "AAPL").axes[0].get_title(loc="left") == said


def test_every_cell_is_where_it_was_found():
    rows = [
        {"information": "price", "family": "gru", "tuned": False, "skill": -0.03, "skill_se": 0.01, "p_holm": 1.0},
        {"information": "price", "family": "gru", "tuned": True, "skill": 0.01, "skill_se": 0.01, "p_holm": 0.2},
        {"information": "+ macro", "family": "gru", "tuned": True, "skill": 0.05, "skill_se": 0.01, "p_holm": 0.001},
        {"information": "+ macro", "family": "ar", "tuned": False, "skill": 0.0, "skill_se": 0.0, "p_holm": 1.0},
    ]
    figure = study(rows, CLEAR | SMALL, "AAPL")
    gru, ar = figure.axes[2:]
    assert [axes.get_title(loc="left") for axes in (gru, ar)] == ["gru", "ar"]
    assert [label.get_text() for label in gru.get_yticklabels()] == ["price", "+ macro"]
    dots = [bars[0] for bars in gru.containers]
    assert [dot.get_xdata()[0] for dot in dots] == pytest.approx([-3, 1, 5])
    assert [round(dot.get_ydata()[0]) for dot in dots] == [0, 0, 1]
    assert [to_hex(dot.get_color()) for dot in dots] == [RED, FADED, GREEN]
    assert [dot.get_markerfacecolor() for dot in dots] == ["white", FADED, GREEN]
    reach = gru.containers[0][2][0].get_segments()[0][:, 0]
    np.testing.assert_allclose(reach, [-3 - 1.96, -3 + 1.96])
    assert "1 of the 4 ways" in figure.axes[1].get_title(loc="left")


def test_the_random_walks_line_is_named():
    figure = study(cells(4), CLEAR | SMALL, "AAPL")
    named = [text.get_text() for axes in figure.axes[2:] for text in axes.texts]
    assert named == ['no better than\n"same as yesterday"']
    assert all(any(set(line.get_xdata()) == {0} for line in axes.get_lines()) for axes in figure.axes[2:])

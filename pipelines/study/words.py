"""Words: what a study found, in one paragraph that claims no more than its figures do."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.figures.study import LUCK, SURE, answer, digits_of
from pipelines.study.parts import QUESTIONS, Part

_CHOICE = {
    "information": "Showing the models all the information instead of the price alone",
    "tuning": "Searching for better settings",
    "model": "Taking {last} instead of {first}, both offered the same,",
}
_WALK = '"same as yesterday"'


def paragraph(parts: Mapping[str, Part], rows: Sequence[Mapping[str, Any]], families: Sequence[str]) -> str:
    """The answer and what it rests on.

    Arguments:
        parts: The three questions' and the luck of the seed.
        rows: A cell each, with `name`, `skill`, `p_holm`.
        families: The simplest first.
    """
    beaten = [row for row in rows if row["skill"] > 0 and row["p_holm"] < SURE]
    helped = any(verdict(parts[name], parts[LUCK]) == "helps" for name in QUESTIONS)
    plain = {name: (part.size, part.low, part.high) for name, part in parts.items()}
    said, digits = answer(plain), digits_of(plain)
    nothing = "It was none of the three: there was nothing to find." if not (beaten or helped) else said
    lines = [nothing]
    for name in QUESTIONS:
        choice = _CHOICE[name].format(first=families[0], last=families[-1])
        lines.append(f"{choice} {_worth(parts[name], parts[LUCK], digits)}.")
    luck = 100 * parts[LUCK].size
    lines.append(
        f"Training the same model once more with another seed moves its skill by about {luck:.{digits}f} points."
    )
    lines.append(_against_the_walk(rows, beaten))
    return " ".join(lines)


def verdict(part: Part, luck: Part) -> str:
    """`helps`, `small` (sure, but no more than luck), `unclear` or `harms`."""
    if part.high < 0:
        return "harms"
    if part.low <= 0:
        return "unclear"
    return "helps" if part.low > luck.size else "small"


def _worth(part: Part, luck: Part, digits: int) -> str:
    size = f"{100 * abs(part.size):.{digits}f} points"
    span = f"({100 * part.low:+z.{digits}f} to {100 * part.high:+z.{digits}f})"
    return {
        "helps": f"was worth {size} {span}",
        "small": f"was worth {size} {span}, which need be no more than a lucky seed gives",
        "harms": f"cost {size} {span}",
        "unclear": f"made no difference that can be told from chance {span}",
    }[verdict(part, luck)]


def _against_the_walk(rows: Sequence[Mapping[str, Any]], beaten: Sequence[Mapping[str, Any]]) -> str:
    if not beaten:
        return f"None of the {len(rows)} ways to forecast is surely better than {_WALK}, when all of them are counted."
    best = max(beaten, key=lambda row: float(row["skill"]))
    return (
        f"{len(beaten)} of the {len(rows)} ways to forecast are surely better than {_WALK}, also when all are counted; "
        f"the one with the largest skill on these years makes {100 * best['skill']:.1f} % less error ({best['name']})."
    )

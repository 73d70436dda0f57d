"""Findings: what a study comes to, as tables, a figure, a paragraph and a page."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from pipelines.compare import Comparison
from pipelines.figures.study import LUCK
from pipelines.figures.study import study as figure
from pipelines.snapshot import Snapshot
from pipelines.study.cells import Way
from pipelines.study.config import Study
from pipelines.study.parts import Factorial, Part
from pipelines.study.words import paragraph, verdict

_SAID = {
    "helps": "worth it",
    "small": "no more than luck",
    "unclear": "nobody can tell",
    "harms": "made it worse",
}


@dataclass(frozen=True)
class Findings:
    """The answer and all it rests on."""

    key: str
    subject: str
    """What was forecast, and when."""
    snapshot: Snapshot
    sessions: int
    parts: dict[str, Part]
    """The three questions', and the luck of the seed."""
    steps: dict[str, Part]
    """What each information set adds to the one before."""
    rows: list[dict[str, Any]]
    """A cell each."""
    families: tuple[str, ...]
    """The simplest first."""
    blind: tuple[str, ...]
    """Families that read the first information set only."""
    information: dict[str, tuple[str, ...]]
    """Channels that each set adds."""
    trials: int
    """Settings tried for a tuned cell."""
    words: str
    """The answer in one paragraph."""

    @classmethod
    def of(
        cls,
        key: str,
        plan: Study,
        snapshot: Snapshot,
        factorial: Factorial,
        ways: Sequence[Way],
        comparisons: Sequence[Comparison],
        blind: tuple[str, ...],
    ) -> Self:
        """From the scores of all cells, in the order of `ways`."""
        by_set = dict(zip(plan.design.sets, comparisons, strict=True))
        rows = []
        for way, cell, merit in zip(ways, factorial.cells, factorial.merits(), strict=True):
            settings = way.model.model_dump(mode="json", exclude_defaults=True, exclude={"name", "family"})
            rows.append(
                {
                    "name": f"{way.model.name} on {way.information}",
                    "information": way.information, "family": way.family, "tuned": way.tuned,
                    "skill": merit.skill, "skill_se": merit.error, "p": merit.p, "p_holm": merit.p_holm,
                    "seed_skills": factorial.skills(cell).tolist(),
                    "validation_skill": by_set[way.information].row(way.model.name).validation_skill,
                    "settings": settings,
                    "kept": way.tuned and way.keeps(plan.families, plan.run.training),
                    "learning_rate": way.training.learning_rate, "weight_decay": way.training.weight_decay,
                }
            )  # fmt: skip
        first, target = comparisons[0], plan.run.target
        ahead = f"{target.horizon} session{'s' * (target.horizon > 1)} ahead"
        parts = factorial.parts() | {LUCK: factorial.luck}
        return cls(
            key=key,
            subject=f"{', '.join(target.symbols)}, {ahead}, {first.first[:4]} to {first.last[:4]}",
            snapshot=snapshot,
            sessions=first.origins,
            parts=parts,
            steps=factorial.steps(),
            rows=rows,
            families=factorial.families,
            blind=blind,
            information=plan.design.information,
            trials=plan.design.trials,
            words=paragraph(parts, rows, factorial.families),
        )

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def table(self) -> list[dict[str, str]]:
        """The parts, a line each, and the steps of the information below it; in points of skill."""
        lines = []
        for name, part in self.parts.items():
            said = "" if name == LUCK else _SAID[verdict(part, self.parts[LUCK])]
            lines.append({"choice": name, **_interval(part), "so": said})
            if name == "information":
                lines += [{"choice": f"  {step}", **_interval(one), "so": ""} for step, one in self.steps.items()]
        return lines

    def cells(self) -> list[dict[str, str]]:
        """A line a cell; in points of skill."""
        return [
            {
                "information": row["information"], "family": row["family"], "tuned": _tuned(row),
                "skill": f"{100 * row['skill']:+.2f}", "s.e.": f"{100 * row['skill_se']:.2f}",
                "each seed": " ".join(f"{100 * skill:+.2f}" for skill in row["seed_skills"]),
                "validation": f"{100 * row['validation_skill']:+.2f}", "p": _chance(row["p"]),
                "p (Holm)": _chance(row["p_holm"]),
            }
            for row in self.rows
        ]  # fmt: skip


def _tuned(row: Mapping[str, Any]) -> str:
    """Whether settings were searched for; kept are those that a search found no better than, as they were written."""
    if not row["tuned"]:
        return "no"
    return "kept" if row["kept"] else "yes"


def draw(found: Findings) -> Figure:
    """The picture."""
    parts = {name: (part.size, part.low, part.high) for name, part in found.parts.items()}
    return figure(found.rows, parts, found.subject)


def write(found: Findings, folder: Path) -> Path:
    """Page, picture and record under a folder named after the study; the page's path."""
    home = folder / f"study-{found.key[:12]}"
    home.mkdir(parents=True, exist_ok=True)
    buffer = BytesIO()
    draw(found).savefig(buffer, format="png", metadata={"Software": None})
    (home / "study.png").write_bytes(buffer.getvalue())
    (home / "study.json").write_text(json.dumps(found.record(), indent=1, default=str), "utf-8")
    environment = Environment(loader=PackageLoader("pipelines"), autoescape=True, undefined=StrictUndefined)
    picture = base64.b64encode(buffer.getvalue()).decode()
    page = home / "index.html"
    page.write_text(environment.get_template("study.html").render(found=found, picture=picture), "utf-8")
    return page


def _chance(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def _interval(part: Part) -> dict[str, str]:
    return {
        "points": f"{100 * part.size:+.2f}", "from": f"{100 * part.low:+.2f}", "to": f"{100 * part.high:+.2f}",
    }  # fmt: skip

"""What a benchmark found: our figures beside the published ones, what was tried, what holds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipelines.bench.protocols import DAYS, HORIZONS, ROUNDS, Name

if TYPE_CHECKING:
    from rich.table import Table

From = Literal["published", "ours"]


@dataclass(frozen=True)
class Long:
    """Errors of a model at the long horizons, in z-scores; fewer than there are horizons where not all were fitted."""

    model: str
    source: From
    mse: tuple[float, ...]
    mae: tuple[float, ...]


@dataclass(frozen=True)
class Short:
    """A model under the GluonTS protocol."""

    model: str
    source: From
    mean_wql: float


@dataclass(frozen=True)
class Tried:
    """A variant and how it did on rows before the test."""

    variant: str
    judged_by: str
    score: float
    chosen: bool


@dataclass(frozen=True)
class Claim:
    """A sentence with its figures, and whether it is so."""

    says: str
    holds: bool


@dataclass(frozen=True)
class Report:
    """All of one benchmark."""

    name: Name
    long: tuple[Long, ...]
    tried: tuple[Tried, ...]
    claims: tuple[Claim, ...]
    looks: int
    """Settings whose test scores had been seen before what is tried was written down."""
    short: tuple[Short, ...] = ()

    def record(self) -> dict[str, Any]:
        """As one JSON object."""
        parts = {part: [asdict(one) for one in getattr(self, part)] for part in ("long", "short", "tried", "claims")}
        counts = {"variants_tried": len(self.tried), "earlier_looks_at_test": self.looks}
        return {"benchmark": self.name, "horizons": HORIZONS, **counts, **parts}

    def views(self) -> "list[Table | str]":
        """As people read it."""
        from pipelines.terminal import rows

        shown: list[Table | str] = [
            rows(f"{self.name}, test part: MSE/MAE by horizon", [_long(one) for one in self.long])
        ]
        if self.short:
            title = f"\n{self.name}, {ROUNDS} rounds of {DAYS} days: mean_wQL"
            shown.append(rows(title, [_short(one) for one in self.short]))
        shown.append(
            rows("\nTried, and judged by rows before the test (* chosen)", [_tried(one) for one in self.tried])
        )
        before = f"{self.looks} settings had been scored on the test part while this was built"
        shown.append(f"\n{len(self.tried)} variants tried, {sum(one.chosen for one in self.tried)} chosen; {before}\n")
        shown.extend(f"{'holds' if one.holds else 'DOES NOT HOLD':<14} {one.says}" for one in self.claims)
        return shown


def _long(line: Long) -> Mapping[str, str]:
    digits = 3 if line.source == "published" else 4
    pairs = list(zip(line.mse, line.mae, strict=True))
    if len(pairs) == len(HORIZONS):
        pairs.append((sum(line.mse) / len(HORIZONS), sum(line.mae) / len(HORIZONS)))
    cells = [f"{mse:.{digits}f}/{mae:.{digits}f}" for mse, mae in pairs]
    names = (*map(str, HORIZONS), "mean")
    cells += ["-"] * (len(names) - len(cells))
    return {"model": line.model, "from": line.source} | dict(zip(names, cells, strict=True))


def _short(line: Short) -> Mapping[str, str]:
    return {"model": line.model, "from": line.source, "mean_wQL": f"{line.mean_wql:.5f}"}


def _tried(one: Tried) -> Mapping[str, str]:
    return {
        "variant": f"{one.variant} *" if one.chosen else one.variant,
        "judged by": one.judged_by,
        "score": f"{one.score:.5f}",
    }

"""What the command line shows: plain lines and tables for people, one JSON object for programs."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

if TYPE_CHECKING:  # showing a result must not wake what made it
    from forecaster.store.challenges import Challenge
    from pipelines.compare import Comparison
    from pipelines.fetch import Fetched
    from pipelines.issue import Issued
    from pipelines.leaderboard import Row
    from pipelines.look import Explained
    from pipelines.work.runs import Run

Step = TypeVar("Step")

_WIDE = 160  # columns where nobody watches: a table in a log is not cut


class Terminal:
    """Progress on stderr, results on stdout; with `as_json`, stdout carries one JSON object and nothing else."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._out = Console(highlight=False, soft_wrap=True)
        if not self._out.is_terminal:
            self._out = Console(highlight=False, soft_wrap=True, width=_WIDE)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)

    @property
    def interactive(self) -> bool:
        """Whether a person watches: progress bars only then."""
        return self._err.is_terminal

    def say(self, line: str) -> None:
        """A line about what is going on."""
        self._err.print(line, markup=False)

    def track(self, what: str, steps: Iterable[Step], total: int, tell: Callable[[Step], str]) -> list[Step]:
        """All the steps, as they come: a progress bar where a person watches, else a line for each."""
        if self.interactive:
            with Progress(console=self._err, transient=True) as progress:
                return list(progress.track(steps, total, description=what))
        done = []
        for step in steps:
            self.say(tell(step))
            done.append(step)
        return done

    def result(self, value: Mapping[str, Any], *views: Table | str) -> None:
        """The outcome, as JSON or as it is shown to people."""
        if self.as_json:
            self._out.print(json.dumps(value, default=str), markup=False)
            return
        for view in views:
            if isinstance(view, str):
                self._out.print(view, markup=False)
            else:
                self._out.print(view)


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def jobs(runs: "Sequence[Run]") -> Table:
    """Runs of jobs, as they stand."""
    table = _table("Jobs", ("job", "session", "asked for", "state", "seconds", "what came of it"))
    for column in (table.columns[0], table.columns[-1]):
        column.justify, column.no_wrap, column.overflow = "left", False, "fold"
    for run in runs:
        job = " ".join(part for part in (run.name.job, run.name.target, run.name.more) if part)
        took = "" if run.seconds is None else f"{run.seconds:.1f}"
        asked = run.asked_at.strftime("%Y-%m-%d %H:%M")
        table.add_row(job, str(run.name.session), asked, run.state, took, run.says)
    return table


def leaderboard(comparison: "Comparison", assumed: float) -> Table:
    """The comparison, best skill first, at most 80 characters wide."""
    title = (
        f"{', '.join(comparison.symbols)}: {comparison.origins} sessions {comparison.first} to {comparison.last}, "
        f"CRPS in {comparison.unit}"
    )
    table = _table(title, ("model", "CRPS", "h=1", "log h=1", "skill %", "s.e.", "p", "Holm", "in 80%", "in 95%"))
    for row in comparison.rows:
        walk = row.name == comparison.baseline
        table.add_row(
            _starred(comparison, row),
            f"{row.crps:.4f}",
            f"{row.crps_1:.4f}",
            "-" if row.log_score is None else f"{row.log_score:.4f}",
            f"{100 * row.skill:+.2f}",
            "-" if walk else f"{100 * row.skill_se:.2f}",
            "-" if walk else f"{row.dm_p:.2g}",
            "-" if walk else f"{row.dm_p_holm:.2g}",
            f"{100 * row.coverage_80:.1f}",
            f"{100 * row.coverage_95:.1f}",
        )
    may_be = ", ".join(comparison.best)
    table.caption = (
        f"* chosen by the validation years; skill, p against the random walk ({comparison.baseline}); calibrated\n"
        f"that none of them is better than it: p = {comparison.spa:.2g} (SPA); may be the best: {may_be} (MCS, 90 %)\n"
        f"{assumed:.0%} of the rows are known from when a rule says (assumed), the rest from when it was seen"
    )
    table.caption_justify = "left"
    return table


def parts(comparison: "Comparison") -> Table:
    """Where the candidate's skill lies: by horizon, symbol, year and volatility."""
    table = _table(f"Skill of {comparison.candidate}, part by part", ("part", "", "sessions", "skill %", "s.e.", "p"))
    kind = ""
    for one in comparison.slices[comparison.candidate]:
        told, kind = ("" if one.kind == kind else one.kind), one.kind
        error = "-" if one.error is None else f"{100 * one.error:.2f}"
        p = "-" if one.p is None else f"{one.p:.2g}"
        skill = "too few" if one.error is None else f"{100 * one.skill:+.2f}"
        table.add_row(told, one.name, str(one.n), skill, error, p)
    return table


def sizes(comparison: "Comparison") -> Table:
    """What each model costs, how its seeds scatter, and how much doubt it leaves."""
    columns = ("model", "seeds", "each %", "sd", "in doubt", "weights", "KB", "epochs", "s", "never seen")
    table = _table("Seeds and sizes", columns)
    for row in comparison.rows:
        unseen = [f"{100 * share:.1f}%" for name, share in row.remarks.items() if name.startswith("unseen")]
        table.add_row(
            _starred(comparison, row),
            str(row.seeds),
            "-" if row.seed_skill is None else f"{100 * row.seed_skill:+.2f}",
            "-" if row.seed_sd is None else f"{100 * row.seed_sd:.2f}",
            f"{row.perplexity:.2f}",
            str(row.parameters),
            f"{row.kilobytes:.0f}",
            str(row.epochs),
            f"{row.train_seconds:.1f}",
            " ".join(unseen) or "-",
        )
    table.caption = (
        "each: mean skill of the single seeds, sd: their scatter; in doubt: perplexity, of ten bins that the past\n"
        "filled alike; never seen: an n-gram's contexts of the validation years that training lacks, by order"
    )
    table.caption_justify = "left"
    return table


def _starred(comparison: "Comparison", row: "Row") -> str:
    return f"{row.name} *" if row.name == comparison.candidate else row.name


def importance(explained: "Sequence[Explained]") -> Table:
    """How much worse each model gets without a part of its context, and how much past it needs."""
    parts = list(explained[0].importance)
    table = _table("Loss (CRPS) in % above what the whole context gives", ("model", *parts, "memory"))
    for one in explained:
        cells = [f"{100 * one.importance[part].mean:+.2f} ({100 * one.importance[part].error:.2f})" for part in parts]
        table.add_row(one.name, *cells, "more" if one.memory is None else str(one.memory))
    table.caption = (
        "swapped with another time's (s.e. over origins); order: older sessions shuffled; memory: sessions that\n"
        "keep the loss within 0.5 %; on the validation years"
    )
    table.caption_justify = "left"
    return table


def forecast(issued: "Issued") -> Table:
    """Prices by session at the usual levels."""
    shown = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
    title = f"{issued.symbol} from {issued.origin} (close {issued.origin_close:.2f}), version {issued.version}"
    table = _table(title, ("session", *(f"{level:.1%}" for level in shown)))
    if issued.stale_since is not None:
        table.caption = f"stale since {issued.stale_since}: newer sessions have settled that the store does not have"
        table.caption_justify = "left"
    for session, prices in zip(issued.sessions, issued.price_quantiles, strict=True):
        table.add_row(session, *(f"{prices[issued.levels.index(level)]:.2f}" for level in shown))
    return table


def fetched(found: Sequence["Fetched"]) -> Table:
    """What a fetch did, a line a subject."""
    names = ("subject", "status", "inserted", "revised", "quarantined", "missing", "first", "last", "stale since")
    table = _table("Fetched", names)
    for one in found:
        counts = (one.inserted, one.revised, one.quarantined, len(one.missing_sessions))
        span = (one.first or "-", one.last or "-", one.stale_since or "-")
        table.add_row(one.subject, one.status, *map(str, counts), *span)
    return table


def challenges(past: Sequence["Challenge"]) -> Table:
    """Every challenge, the newest first."""
    table = _table("Challenges", ("when", "candidate", "passed", "alpha", "recipes seen", "failed on"))
    for one in past:
        failed = [check["question"] for check in one.decision["checks"] if not check["passed"]]
        seen = str(one.decision["recipes"])
        passed = "yes" if one.passed else "no"
        name = one.decision["candidate"]
        table.add_row(f"{one.created_at:%Y-%m-%d %H:%M}", name, passed, f"{one.alpha:.2g}", seen, ", ".join(failed))
    return table


def checks(asked: Sequence[Mapping[str, Any]]) -> Table:
    """What the gate asked, and why it was content or not."""
    table = _table("The gate asked", ("question", "passed", "figures"))
    table.columns[-1].justify = "left"
    for one in asked:
        table.add_row(one["question"], "yes" if one["passed"] else "no", one["figures"])
    return table


def rows(title: str, records: Sequence[Mapping[str, Any]]) -> Table:
    """Records with the same keys, one line each."""
    table = _table(title, list(records[0]))
    for record in records:
        table.add_row(*(str(value) for value in record.values()))
    return table

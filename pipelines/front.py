"""The front of the command line: what `forecaster` alone shows, and the list of commands in groups."""

from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

PITCH = "Forecasts of markets that cannot fool you: dated quantiles, always beside the random walk."

FIVE = (
    ("demo --run my.toml", "the whole job on your run: fetch, train, compare, promote, forecast, report"),
    ("check-leaks", "change everything after a day, at many days: nothing before it may move"),
    ("study", "was it the information, the tuning or the model?"),
    ("serve", "answer over HTTP, with a page"),
    ("work", "every session after its close: fetch, score, forecast, watch, retrain when it is time"),
)
"""The commands that matter, as they are typed, and what each does; README has the same."""

GROUPS = (
    ("The five that matter", ("demo", "check-leaks", "study", "serve", "work")),
    ("The job, step by step", ("fetch", "snapshot", "train", "tune", "compare", "explain", "promote")),
    ("Forecasts and their record", ("forecast", "issue", "score", "backfill", "replay")),
    ("Jobs", ("catch-up", "retrain", "jobs", "monitor")),
    ("To check and to go on", ("doctor", "reproduce", "carry", "bench")),
    ("To keep it running", ("migrate", "backup", "restore", "key")),
)
"""Every command, in the groups in which `--help` lists them."""


class Front(TyperGroup):
    """The commands, in groups; alone, it shows five of them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            typer.echo("\n".join(welcome()))
            ctx.exit()
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the parser's
        widest = max(map(len, self.commands))
        for title, names in GROUPS:
            with formatter.section(title):
                told = ((name, self.commands[name].get_short_help_str(2 * formatter.width)) for name in names)
                formatter.write_dl([(name.ljust(widest), said) for name, said in told])


def flags_of(front: Any) -> dict[str, set[str]]:
    """The options of each command."""
    told = front.commands.items()
    return {name: {flag for one in command.params for flag in one.opts} for name, command in told}


def welcome() -> Iterator[str]:
    """What `forecaster` alone says."""
    yield from (PITCH, "")
    widest = max(len(typed) for typed, _ in FIVE)
    for typed, does in FIVE:
        yield f"  forecaster {typed:{widest}}  {does}"
    yield from (
        "",
        "`forecaster demo` without a run file needs nothing: real prices ship with it, some minutes, offline.",
        "`forecaster --help` lists all commands, `forecaster COMMAND --help` what one can do,",
        "`forecaster doctor` what is missing, `forecaster --install-completion` makes the Tab key know them.",
    )

"""What can be asked, a file a subject; what routes share is here."""

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, ParamSpec, TypeVar

from fastapi import Depends, Path, Query, Request
from pydantic import BeforeValidator, Field

from forecaster.contract import SYMBOL, Frozen
from serving.engine import ChampionEngine
from serving.limits import Slots

Clock = Callable[[], datetime]
Asked = ParamSpec("Asked")
Found = TypeVar("Found")

TARGET = rf"^{SYMBOL.pattern}(\+[0-9]{{1,4}}-[0-9a-f]{{8}})?-(return|level)-[0-9]{{1,3}}$"
"""What may be the key of a target."""


async def _engine(request: Request) -> ChampionEngine:
    engine: ChampionEngine = request.app.state.engine
    return engine


async def _now(request: Request) -> datetime:
    clock: Clock = request.app.state.clock
    return clock()


async def in_a_slot(request: Request, work: Callable[Asked, Found], *args: Asked.args, **kwargs: Asked.kwargs) -> Found:
    """What blocking work returns, such as a look into the database: only so much is done at once."""
    slots: Slots = request.app.state.slots
    return await slots.run(request, work, *args, **kwargs)


def _day(text: object) -> object:
    """Only 2018-12-28: not a timestamp, and not a moment of the day, which a date may be too by default."""
    if isinstance(text, str) and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError("write a date as 2018-12-28")
    return text


class Wanted(Frozen):
    """Parameters of a question; one that is not known is an error, not left out of account."""


Engine = Annotated[ChampionEngine, Depends(_engine)]
Now = Annotated[datetime, Depends(_now)]
Day = Annotated[date, BeforeValidator(_day)]
Named = Annotated[
    str, Path(pattern=f"^{SYMBOL.pattern}$", description="Capital letters, digits and ^ . - =", examples=["^IXIC"])
]
Symbol = Annotated[
    str | None,
    Field(pattern=f"^{SYMBOL.pattern}$", description="May be left out where there is one.", examples=["^IXIC"]),
]
Target = Annotated[
    str | None,
    Field(
        pattern=TARGET,
        description="Key of a target. May be left out where there is one.",
        examples=["^IXIC-return-5"],
    ),
]
Nothing = Annotated[Wanted, Query()]

"""What can be asked, a file a subject; what routes share is here."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Path, Query, Request

from forecaster.contract import SYMBOL
from serving.engine import ChampionEngine

Clock = Callable[[], datetime]


async def _engine(request: Request) -> ChampionEngine:
    engine: ChampionEngine = request.app.state.engine
    return engine


async def _now(request: Request) -> datetime:
    clock: Clock = request.app.state.clock
    return clock()


Engine = Annotated[ChampionEngine, Depends(_engine)]
Now = Annotated[datetime, Depends(_now)]
Named = Annotated[str, Path(pattern=f"^{SYMBOL.pattern}$", description="Capital letters, digits and ^ . - =")]
Symbol = Annotated[str | None, Query(pattern=f"^{SYMBOL.pattern}$", description="May be left out where there is one.")]

"""The app factory: `uvicorn --factory serving.app:create_app`."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from fastapi import FastAPI

from forecaster import __version__
from serving.database import open_database
from serving.engine import ChampionEngine
from serving.problems import answer_problems
from serving.routes import Clock, router
from serving.settings import Settings
from serving.shelf import Shelf

log = logging.getLogger(__name__)

_DESCRIPTION = "Dated quantile forecasts of closing prices, from the ledger, always beside the random walk."


def utc_now() -> datetime:
    """The service's clock."""
    return datetime.now(UTC)


def create_app(settings: Settings | None = None, clock: Clock = utc_now) -> FastAPI:
    """An app on its settings (None: from the environment); nothing is opened before it starts."""
    settings = Settings() if settings is None else settings
    app = FastAPI(title="Forecaster", version=__version__, description=_DESCRIPTION, lifespan=_lifespan)
    app.state.settings = settings
    app.state.clock = clock
    app.state.engine = ChampionEngine(open_database(settings.store_url), Shelf(settings.home / "serving"))
    answer_problems(app)
    app.include_router(router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine: ChampionEngine = app.state.engine
    pause: float = app.state.settings.refresh_seconds
    await asyncio.to_thread(engine.restore)
    looked = asyncio.Event()
    follower = asyncio.create_task(_follow(engine, pause, looked))
    # A database that hangs must not keep the last good champions from answering.
    with suppress(TimeoutError):
        await asyncio.wait_for(looked.wait(), timeout=1)
    yield
    follower.cancel()
    with suppress(asyncio.CancelledError):
        await follower
    await asyncio.to_thread(engine.close)


async def _follow(engine: ChampionEngine, pause: float, looked: asyncio.Event) -> None:
    """Refresh for ever, whatever goes wrong; `looked` is set after the first time."""
    while True:
        try:
            await asyncio.to_thread(engine.refresh)
        except Exception:  # whatever it was, the last good champions answer and the next look may succeed
            log.exception("refresh failed")
        looked.set()
        await asyncio.sleep(pause)

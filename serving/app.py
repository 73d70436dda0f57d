"""The app factory: `uvicorn --factory serving.app:create_app`."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from fastapi import FastAPI

from forecaster import __version__
from serving.book import Book
from serving.database import open_database
from serving.door import Door, guarded
from serving.engine import ChampionEngine
from serving.keys import KeyRing
from serving.limits import Slots
from serving.metrics import Metrics
from serving.problems import answer_problems
from serving.routes import Clock, demand, forecasts, models, operation, page
from serving.settings import Settings
from serving.shelf import Shelf
from serving.tracing import tracing

log = logging.getLogger(__name__)

_DESCRIPTION = "Dated quantile forecasts of closing prices, from the ledger, always beside the random walk."


def utc_now() -> datetime:
    """The service's clock."""
    return datetime.now(UTC)


def create_app(settings: Settings | None = None, clock: Clock = utc_now) -> FastAPI:
    """An app on its settings (None: from the environment); nothing is opened before it starts."""
    settings = Settings() if settings is None else settings
    traces = tracing(os.environ)
    app = FastAPI(
        title="Forecaster",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,  # the page has one that loads nothing from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a redirect repeats the path
        telemetry=traces.config,
    )
    state = app.state
    store, folder = open_database(settings.store_url), settings.home / "serving"
    state.settings, state.clock, state.looked_at, state.traces = settings, clock, None, traces
    state.engine = ChampionEngine(store, Shelf(folder))
    state.book = Book(state.engine, folder, clock)
    state.keys = KeyRing(store, folder / "keys.json")
    state.metrics = Metrics()
    # Apart, or a database that hangs would hold up who needs none.
    state.slots, state.runs = (
        Slots(settings.concurrency, settings.queue, settings.deadline_seconds, state.metrics) for _ in range(2)
    )
    state.metrics.watch_engine(state.engine, lambda: _age(app))
    answer_problems(app)
    for subject in (demand, forecasts, models, operation, page):
        app.include_router(subject.router)
    app.router.routes.insert(0, forecasts.FromBook(state.book))
    app.openapi = lambda: guarded(FastAPI.openapi(app), settings.require_key)  # type: ignore[method-assign]
    # Around all of it, where a middleware would be inside the handler of internal errors.
    state.door = Door(app.build_middleware_stack(), app.routes, settings, clock, state.keys, state.metrics)
    app.middleware_stack = state.door
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state = app.state
    await asyncio.to_thread(_restore, app)
    looked = asyncio.Event()
    follower = asyncio.create_task(_follow(app, looked))
    # A database that hangs must not keep the last good champions from answering.
    with suppress(TimeoutError):
        await asyncio.wait_for(looked.wait(), timeout=1)
    yield
    follower.cancel()
    with suppress(asyncio.CancelledError):
        await follower
    state.slots.close()
    state.runs.close()
    await asyncio.to_thread(state.engine.close)
    await asyncio.to_thread(state.traces.close)


def _restore(app: FastAPI) -> None:
    """Take what is on disk."""
    app.state.engine.restore()
    app.state.book.restore()
    app.state.keys.restore()


def _look(app: FastAPI) -> None:
    """Take what is new in the store, if it answers."""
    state = app.state
    well = [_refreshed(part) for part in (state.keys, state.engine, state.book)]
    if all(well) and state.engine.database.state == "up":
        state.looked_at = state.clock()


def _refreshed(part: KeyRing | ChampionEngine | Book) -> bool:
    try:
        part.refresh()
    except Exception:  # whatever it was, the others go on, what it last knew stands, and the next look may succeed
        log.exception("refresh failed: %s", type(part).__name__)
        return False
    return True


async def _follow(app: FastAPI, looked: asyncio.Event) -> None:
    """Look for ever; `looked` is set after the first time."""
    loop, state = asyncio.get_running_loop(), app.state
    while True:
        late = loop.call_later(state.settings.deadline_seconds, state.engine.give_up)
        await asyncio.to_thread(_look, app)
        late.cancel()
        looked.set()
        await asyncio.sleep(state.settings.refresh_seconds)


def _age(app: FastAPI) -> float | None:
    """Seconds since the last look that succeeded; None before."""
    state = app.state
    return None if state.looked_at is None else float((state.clock() - state.looked_at).total_seconds())

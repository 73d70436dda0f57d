"""Runs small enough to be trained in a second, and workspaces on them."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from forecaster.calendars import trading_calendar
from pipelines.config import RunConfig
from pipelines.engines.base import Crew
from pipelines.home import Home
from pipelines.workspace import Workspace

NOW = datetime(2019, 3, 1, tzinfo=UTC)
NAIVE = {"name": "naive", "family": "naive"}
GRU = {"name": "gru", "family": "gru", "hidden": 3}
GARCH = {"name": "garch", "family": "garch"}


def prices(models: list[dict[str, Any]], training: Mapping[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    """A run on the sample's two indices."""
    return {
        "data": {"symbols": ["^GSPC", "^IXIC"]},
        "target": {"symbols": ["^GSPC"], "venue": "XNYS", "horizon": 2},
        "window": {"context": 24, "burn_in": 12, "channels": ["log_return", "log_range"]},
        "split": {"validation_from": "2010-01-01", "test_from": "2012-01-01", "test_until": "2014-01-01"},
        "training": {"epochs": 2, "patience": 1, "learning_rate": 0.01} | dict(training or {}),
        "models": [NAIVE, *models],
    } | parts


def levels(folder: Path, models: list[dict[str, Any]], **parts: Any) -> dict[str, Any]:
    """A run on the changes of the series LOAD, from `LOAD.csv` in a folder."""
    release = {"LOAD": {"frequency": "D", "days": 0}}
    return {
        "data": {
            "symbols": [],
            "series": ["LOAD"],
            "macro": {"source": "files", "folder": str(folder), "publications": release},
        },
        "target": {"symbols": ["LOAD"], "venue": "XNYS", "horizon": 2, "kind": "level"},
        "window": {"context": 24, "burn_in": 12, "channels": ["change"]},
        "split": {"validation_from": "2014-01-01", "test_from": "2015-01-01"},
        "training": {"epochs": 3, "patience": 3, "learning_rate": 0.01},
        "models": [NAIVE, *models],
    } | parts


def write_load(folder: Path) -> Path:
    """A level around -2 that goes back to it: below zero on most days, above it on some."""
    rng = np.random.default_rng(11)
    days = trading_calendar("XNYS", date(2011, 12, 1), date(2017, 3, 1)).sessions
    days = days[(days >= np.datetime64("2012-01-03")) & (days < np.datetime64("2017-01-01"))]
    level, rows = -2.0, []
    for day in days:
        level += 0.4 * (-2.0 - level) + 0.9 * rng.standard_normal()
        rows.append(f"{day},{level:.4f}")
    path = folder / "LOAD.csv"
    path.write_text("date,value\n" + "\n".join(rows) + "\n")
    return path


def workspace(
    root: Path, run: dict[str, Any], now: datetime = NOW, workers: int = 1, folder: Path | None = None
) -> Workspace:
    """A workspace of a run in a home; `folder` is that of the run file, where a user's own features lie."""
    return Workspace(Home(root), RunConfig.model_validate(run, context=folder), now, crew=Crew(workers))


def fetched(root: Path, run: dict[str, Any], now: datetime = NOW, folder: Path | None = None) -> Workspace:
    """The same, with its data in the store and its notebook opened."""
    made = workspace(root, run, now, folder=folder)
    data = made.config.data
    done = list(made.fetcher({}, lambda: now).fetch(data.symbols, data.series))
    assert [one.status for one in done] == ["ok"] * len(done)
    assert made.notebook is not None
    return made


def moved(home: Path, root: Path, made: Workspace) -> Workspace:
    """A copy of a home, and the same run in it: what one test trains is not there for another."""
    made.engine.dispose()
    shutil.copytree(home, root)
    return replace(made, home=Home(root))


def toml(run: dict[str, Any]) -> str:
    """A run as a file says it."""
    lines = []
    for table, body in run.items():
        for entry in body if isinstance(body, list) else [body]:
            lines.append(f"[[{table}]]" if isinstance(body, list) else f"[{table}]")
            lines += [f"{key} = {_said(key, value)}" for key, value in entry.items()]
    return "\n".join(lines) + "\n"


def _said(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_said(name, part)}" for name, part in value.items()) + " }"
    return str(value) if key.endswith(("_from", "_until")) else json.dumps(value)

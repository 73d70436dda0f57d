"""What the docs say exists, exists, and the other way round; the example of a feature runs."""

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from forecaster.calendars import trading_calendar
from forecaster.contract import WindowSpec
from forecaster.features import FEATURES
from forecaster.store.visits import Status
from pipelines.config import load_config
from pipelines.fetch import Fetched
from pipelines.plugins import load_features
from pipelines.sources.registry import AnyBars, AnyMacro

ROOT = Path(__file__).resolve().parents[1]
CHANNELS = (ROOT / "docs" / "channels.md").read_text("utf-8")
DATA = (ROOT / "docs" / "data.md").read_text("utf-8")


def test_every_feature_has_its_row_with_unit_and_warm_up():
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (\d+) \|", CHANNELS, re.MULTILINE)
    assert rows == [(name, one.unit, str(one.warm_up)) for name, one in FEATURES.items()]


def test_every_source_and_its_keys_have_their_row():
    sources = {member for union in (AnyBars, AnyMacro) for member in get_args(get_args(union)[0])}
    for source in sources:
        (row,) = re.findall(rf"^\| `{source.model_fields['source'].default}` \|.*$", DATA, re.MULTILINE)
        keys = set(re.findall(r"`(\w+)`", row.split("|")[4]))
        assert keys == set(source.model_fields) - {"source"}


@pytest.mark.parametrize("status", get_args(Status))
def test_every_status_of_a_fetch_is_explained(status):
    assert f"`{status}`" in DATA


def test_every_field_of_a_fetch_is_explained():
    assert [name for name in Fetched.__dataclass_fields__ if f"`{name}`" not in DATA] == ["subject"]


def test_the_example_of_a_feature_is_one(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", CHANNELS, re.DOTALL)
    (tmp_path / "my_features.py").write_text(code)
    added = load_features(["my_features"], tmp_path)
    assert set(added) - set(FEATURES) == {"below_high"}
    from forecaster.facts import Facts
    from forecaster.panel import build_panel

    calendar = trading_calendar("XNYS", *(np.datetime64(day).astype(object) for day in ("2020-01-02", "2020-06-30")))
    close = 100 + np.arange(len(calendar.sessions)) % 7.0
    values = np.column_stack([close] * 5 + [np.full_like(close, np.nan)])
    facts = Facts.of(np.full(len(close), "T"), calendar.sessions, calendar.cutoffs, values)
    column = added["below_high"](build_panel(facts, "T", [], calendar), "T")
    assert np.isnan(column[:20]).all()
    np.testing.assert_allclose(column[20:], np.log(close[20:] / 106.0))


def test_every_shipped_run_file_loads():
    paths = sorted((ROOT / "pipelines" / "configs").glob("*.toml"))
    runs = [path for path in paths if not path.name.startswith("study")]  # a study file has a table more
    assert [path.name for path in runs] == ["classic.toml", "demo.toml"]
    assert len(paths) == 4
    for path in runs:
        assert WindowSpec.model_validate(load_config(path).window.model_dump())

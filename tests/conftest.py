"""What all tests share: examples that are the same on every machine, one thread, third-party noise named by message."""

import os

import pytest
from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported; torch itself stays asleep in tests that need none

settings.register_profile("house", derandomize=True, deadline=None, database=None)
settings.load_profile("house")

THIRD_PARTY = (
    # exchange_calendars 4.13 on pandas 3.1, at every construction of a calendar.
    "ignore:Series.values returning an ndarray that drops timezone",
    # pytorch-lightning, where a fit has no validation origins.
    "ignore:You defined a `validation_step` but have no `val_dataloader`",
)


def pytest_configure(config: pytest.Config) -> None:
    for line in THIRD_PARTY:
        config.addinivalue_line("filterwarnings", line)

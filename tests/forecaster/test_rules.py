"""What sessions are worked out by: libraries and time zones, and nothing else."""

import zoneinfo
from importlib import metadata, resources
from pathlib import Path

import pytest

from forecaster.calendars import time_zone
from forecaster.rules import LIBRARIES, rules_of


def test_they_are_the_same_each_time_and_another_zones_are_others():
    assert rules_of("America/New_York") == rules_of("America/New_York")
    assert rules_of("America/New_York") != rules_of("Europe/London")


@pytest.mark.parametrize("library", LIBRARIES)
def test_another_version_of_a_library_is_another_rule(library, monkeypatch):
    before, version = rules_of("America/New_York"), metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "99.0" if name == library else version(name))
    assert rules_of("America/New_York") != before


def test_every_library_that_calendars_need_and_that_knows_holidays_is_named():
    arithmetic = {"numpy", "toolz", "tzdata"}  # the last is read itself
    needed = {line.partition(">")[0].strip() for line in metadata.requires("exchange_calendars") or ()}
    assert needed - arithmetic == set(LIBRARIES) - {"exchange_calendars"}


def test_a_new_law_on_summer_time_is_another_rule_and_without_files_of_the_machine_the_package_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    law = resources.files("tzdata").joinpath("zoneinfo", "America", "New_York").read_bytes()
    monkeypatch.setattr(zoneinfo, "TZPATH", ())
    of_the_package = rules_of("America/New_York")
    (tmp_path / "America").mkdir()
    (tmp_path / "America" / "New_York").write_bytes(law)
    monkeypatch.setattr(zoneinfo, "TZPATH", (str(tmp_path / "nowhere"), str(tmp_path)))
    assert rules_of("America/New_York") == of_the_package
    (tmp_path / "America" / "New_York").write_bytes(law + b"\n")
    assert rules_of("America/New_York") != of_the_package


def test_a_zone_that_there_is_not_is_refused():
    with pytest.raises(FileNotFoundError):
        rules_of("Mars/Olympus_Mons")


@pytest.mark.parametrize(("venue", "zone"), [("XNYS", "America/New_York"), ("XLON", "Europe/London")])
def test_the_zone_of_a_venue(venue, zone):
    assert time_zone(venue) == zone

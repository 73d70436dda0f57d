import copy
import inspect
import re
from pathlib import Path

import pytest

from forecaster import errors
from forecaster.errors import ForecasterError

# The remedy is a command, a thing to do, or the choice that exists.
REMEDY = re.compile(
    r"`forecaster |\b(fetch|train|delete|choose|move|shorten|leave|start later|retry|known here:|allowed here:)", re.I
)
FACTS: dict[type[ForecasterError], tuple[object, ...]] = {
    errors.ConfigError: ("run.toml", "unknown key 'colour'; allowed here: name"),
    errors.HomeUnwritable: (Path("home"), "No space left on device"),
    errors.UnknownSymbol: ("NONE", ["^IXIC", "^GSPC"]),
    errors.SourceError: ("yahoo", "AAPL", "answered 500; fetch again later"),
    errors.FetchIncomplete: ({"AAPL": (True, "yahoo: AAPL: answered 500"), "MSFT": (False, "no such symbol")},),
    errors.DataStale: ("AAPL", "2020-01-02"),
    errors.Delisted: ("AAPL", "2020-01-02"),
    errors.MissingSessions: ("T", ["2020-01-02", "2020-01-03", "2020-01-06", "2020-01-07"]),
    errors.ChannelHole: ("log_return", "2020-01-02"),
    errors.NoHistory: ("T", False, "files: T: no file T.csv"),
    errors.NoSessions: ("XNYS",),
    errors.TooShort: ("one window", 5, 8),
    errors.SnapshotMissing: (Path("a.parquet"),),
    errors.SnapshotCorrupt: (Path("a.parquet"),),
    errors.ArtifactMissing: ("d" * 64,),
    errors.ArtifactCorrupt: ("d" * 64, "the manifest does not match the digest"),
    errors.ContractMismatch: ("d" * 64, "one input", "two"),
    errors.WrongMode: ("d" * 64, "carried", "e" * 64),
    errors.OutputInvalid: ("d" * 64, "quantiles cross"),
    errors.StoreOutdated: (None, "0001"),
    errors.BackupUnwritten: (Path("b.zip"), "No space left on device"),
    errors.BackupRefused: (Path("b.zip"), "it is no zip file; choose another backup"),
    errors.ForecastMissing: ("T",),
    errors.NotOnDemand: ("T", "its champion sees features of the user's own"),
    errors.NotTrained: (["lstm", "gru"],),
    errors.RunError: ("abcdef", "2 runs are called so; choose one by its key: abcdef12, abcdef34"),
    errors.NoChampion: ("T-return-5",),
    errors.SeveralChampions: (["T-return-5", "T-return-1"],),
    errors.NothingBefore: ("T-return-5",),
    errors.RefreshRefused: (
        "gru",
        "it says the same on all of the newest 250 origins; put a recipe to the gate instead",
    ),
    errors.NotebookAway: ("connection refused",),
    errors.WorkerDied: (3,),
    errors.EngineUnavailable: ("ray", "it is not installed; run pip install 'forecaster[ray]'"),
    errors.JobFailed: ("not trained on this snapshot by this code: lstm; run `forecaster train`",),
    errors.Overloaded: (1,),
    errors.DeadlineExceeded: (10.0,),
    errors.PromotionConflict: ("T-return-5",),
    errors.WebhookFailed: ("hooks.example", "it answered 500"),
}


def classes() -> list[type[ForecasterError]]:
    every = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, ForecasterError)]
    return [each for each in every if each.__module__ == errors.__name__]


# A class without a constructor of its own only groups others, or says what it says by its name.
RAISED = [each for each in classes() if "__init__" in vars(each)]


def test_each_class_has_its_example_here():
    assert {each.__name__ for each in RAISED} == {each.__name__ for each in FACTS}


def test_each_class_is_drawn_in_the_tree():
    drawn = set(re.findall(r"\w+", errors.__doc__))
    assert [each.__name__ for each in classes() if each.__name__ not in drawn] == []


def test_each_class_is_written_down_where_it_is():
    for each in classes():
        named = [line for line in errors.__doc__.splitlines() if re.search(rf"\b{each.__name__}\b", line)]
        parent = each.__bases__[0]
        if named and "→" in named[0] and parent is not ForecasterError:
            assert parent.__name__ in named[0]


@pytest.mark.parametrize("error", FACTS, ids=lambda error: error.__name__)
def test_a_message_is_one_line_with_its_facts_and_a_remedy(error):
    message = str(error(*FACTS[error]))
    assert len(message.splitlines()) == 1
    assert message == message.strip()
    assert REMEDY.search(message), message
    texts = [fact for fact in FACTS[error] if isinstance(fact, str)]
    assert all(fact[:12] in message for fact in texts)


def test_an_unknown_symbol_is_not_echoed_at_length():
    assert len(str(errors.UnknownSymbol("A" * 5000, []))) < 120


def test_of_many_missing_sessions_the_first_are_shown():
    message = str(errors.MissingSessions("T", [f"2020-01-{day:02}" for day in range(1, 31)]))
    assert "30 session(s)" in message
    assert "2020-01-03, ..." in message
    assert "2020-01-04" not in message


@pytest.mark.parametrize("error", FACTS, ids=lambda error: error.__name__)
def test_an_error_comes_back_from_another_process_as_it_was(error):
    raised = error(*FACTS[error])
    again = copy.copy(raised)  # by way of what pickle asks too
    assert type(again) is error
    assert str(again) == str(raised)
    assert vars(again) == vars(raised)

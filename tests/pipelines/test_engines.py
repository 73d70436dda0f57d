"""Engines: the same answers from this process, from a pool and from Ray, whatever is killed meanwhile."""

import os
import pickle
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from forecaster.artifact import code_digest
from forecaster.errors import ConfigError, EngineUnavailable, WorkerDied
from pipelines.compare import Comparison, compare
from pipelines.engines import cluster
from pipelines.engines.base import Workers
from pipelines.engines.cluster import Cluster
from pipelines.engines.parcel import Packer
from pipelines.engines.pool import Pool
from pipelines.train import walk
from tests.pipelines.questions import blas_threads, by_itself, die, die_once, divide, refuse, total
from tests.pipelines.small_runs import GARCH, GRU, fetched, moved, prices, workspace

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*"),  # mlflow, when it is imported
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # ray leaves its log files open
]

HAR = {"name": "har", "family": "har"}
MLP = {"name": "mlp", "family": "mlp", "lags": 8, "hidden": 4}
BOTH = {"name": "pool", "family": "pool", "members": ["gru", "har"]}
LADDER = prices([GRU, MLP, GARCH, HAR, BOTH], {"seeds": 2})
LADDER["split"] |= {"refit_every": 252}
LADDER["window"] |= {"context": 48, "burn_in": 24}  # har reads 22 sessions


@pytest.fixture(scope="module")
def ray() -> Iterator[Cluster]:
    """Two workers of a cluster of this machine."""
    workers = Cluster(2)
    yield workers
    workers.close()


@pytest.fixture(params=["pool", "ray"])
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    if request.param == "ray":
        yield request.getfixturevalue("ray")
        return
    found = Pool(2)
    yield found
    found.close()


# What travels


def test_arrays_travel_once_by_what_they_hold_and_come_out_as_they_went_in():
    sent: dict[str, bytes] = {}

    def put(digest: str, raw: memoryview) -> str:
        assert digest not in sent
        sent[digest] = bytes(raw)
        return digest

    packer = Packer(put)
    days = np.arange(4000).astype("datetime64[D]")
    values = np.random.default_rng(0).standard_normal((4000, 6))
    first = packer.pack({"days": days, "values": values, "some": values[:100], "few": values[:3]})
    second = packer.pack((values.copy(), "another question"))
    assert len(first.stream) + len(second.stream) < 2000
    assert len(sent) == 3
    out = first.open(sent[place] for place in first.places)
    assert out["days"].dtype == days.dtype
    for name, array in {"days": days, "values": values, "some": values[:100], "few": values[:3]}.items():
        assert np.array_equal(out[name], array)
    again, _ = second.open(sent[place] for place in second.places)
    assert np.array_equal(again, values)
    assert not again.flags.writeable


def test_answers_belong_to_their_questions(workers: Workers) -> None:
    values = np.random.default_rng(1).standard_normal(5000)
    asked = [(number, values) for number in range(7)]
    found = {question[0]: answer for question, answer in workers.each(total, asked)}
    assert found == {number: total((number, values)) for number in range(7)}
    assert list(workers.each(total, [])) == []


def test_a_question_is_answered_on_one_thread_of_blas(workers: Workers) -> None:
    assert {answer for _, answer in workers.each(blas_threads, [1, 2])} == {(1,)}
    assert list(Pool(1).each(blas_threads, [1])) == [(1, (1,))]


@pytest.mark.parametrize("count", [1, 2])
def test_threads_share_a_pool_and_no_process_answers_two_at_once(count: int, tmp_path: Path) -> None:
    pool = Pool(count)
    with closing(pool), ThreadPoolExecutor(4) as threads:
        asked = [[(tmp_path, 10 * thread + number) for number in range(1 + thread % 2)] for thread in range(8)]
        found = threads.map(lambda questions: dict(pool.each(by_itself, questions)), asked)
        assert list(found) == [{question: question[1] for question in questions} for questions in asked]


# What goes wrong


def test_what_a_worker_refuses_comes_back_as_it_was_said(workers: Workers) -> None:
    with pytest.raises(ConfigError, match=r"^\[training\] learning_rate: gru ran away; lower it$"):
        list(workers.each(refuse, [1, 2, 3]))
    with pytest.raises(ZeroDivisionError):
        list(workers.each(divide, [0, 1]))
    assert dict(workers.each(abs, [-3, -4])) == {-3: 3, -4: 4}  # they go on


def test_an_error_that_is_not_ours_says_where_in_a_worker_it_was_raised() -> None:
    with closing(Pool(2)) as pool, pytest.raises(ZeroDivisionError) as raised:
        list(pool.each(divide, [0, 1]))
    assert "questions.py" in "".join(raised.value.__notes__)


NEVER_CLOSED = """
from tempfile import TemporaryDirectory
first = TemporaryDirectory()  # what is first to want a word at the end has the last
from pipelines.engines.pool import Pool
pool = Pool(2)
print(sorted(pool.each(abs, [-1, -2])))
"""


def test_a_pool_that_nobody_closed_does_not_keep_its_process() -> None:
    done = subprocess.run([sys.executable, "-c", NEVER_CLOSED], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[(-2, 2), (-1, 1)]\n", "")


def test_what_a_killed_worker_had_in_hand_is_asked_again(workers: Workers, tmp_path: Path) -> None:
    answers = dict(workers.each(die_once, [(number, tmp_path / "died") for number in range(6)]))
    assert (tmp_path / "died").exists()
    assert {number: value for (number, _), value in answers.items()} == {number: number**2 for number in range(6)}


SHARED = """
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from pipelines.engines.pool import Pool
from tests.pipelines.questions import die_once
for _ in range(40):
    with TemporaryDirectory() as folder, closing(Pool(2)) as pool, ThreadPoolExecutor(2) as threads:
        asked = [[(number, Path(folder, f"died {thread}")) for number in range(2, 6)] for thread in range(2)]
        found = list(threads.map(lambda questions: dict(pool.each(die_once, questions)), asked))
        assert all(Path(folder, f"died {thread}").exists() for thread in range(2))
    assert found == [{question: question[0] ** 2 for question in questions} for questions in asked]
"""


def test_threads_that_share_a_pool_outlive_its_workers_together() -> None:
    """Where each of them shut the dead workers' executor down, they waited for ever within some ten deaths."""
    done = subprocess.run([sys.executable, "-c", SHARED], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_workers_that_are_always_killed_are_given_up_with_a_remedy(
    workers: Workers, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WorkerDied, match=r"killed 3 times.*fewer --workers"):
        list(workers.each(die, [1, 2]))
    assert dict(workers.each(abs, [-1, -2])) == {-1: 1, -2: 2}
    assert capsys.readouterr().out == ""  # a command's answer goes there


# Ray itself


def test_other_code_on_a_worker_is_refused_with_a_remedy() -> None:
    stream = pickle.dumps((abs, -1))
    assert cluster.answer(code_digest(), stream) == 1
    with pytest.raises(EngineUnavailable, match=f"has code {code_digest()[:12]} and not 0000.*same version"):
        cluster.answer("0" * 64, stream)


def test_without_ray_there_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineUnavailable, match=r"not installed; run pip install 'forecaster\[ray\]'"):
        list(Cluster(2).each(abs, [1, 2]))


def test_a_node_that_does_not_start_in_time_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def late(*_: object, **__: object) -> None:
        raise Exception("The current node timed out during startup. This could\nhappen because")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(EngineUnavailable, match="timed out during startup"):
        list(Cluster(2).each(abs, [1, 2]))


def test_an_address_without_ray_is_wrong_usage() -> None:
    from pipelines.cli import app

    done = CliRunner().invoke(app, ["train", "--address", "127.0.0.1:6379"])
    assert done.exit_code == 2
    assert "--engine ray" in done.output


@pytest.mark.slow
def test_the_cluster_listens_to_this_machine_alone_and_ends_when_closed() -> None:
    code = """
import psutil
from pipelines.engines.cluster import Cluster
workers = Cluster(1)
assert dict(workers.each(abs, [-1])) == {-1: 1}
mine = psutil.Process().children(recursive=True)
ears = {c.laddr.ip for p in mine for c in p.net_connections("inet") if c.status == "LISTEN"}
print(*ears)
workers.close()
assert not psutil.wait_procs(mine, timeout=30)[1]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert done.stdout.split()


REFUSED = """
from contextlib import suppress
from pipelines.engines.cluster import Cluster
from tests.pipelines.questions import divide
workers = Cluster(2)
for _ in range(150):
    with suppress(ZeroDivisionError):
        list(workers.each(divide, [1, 0, 2, 3, 4, 5]))
print(dict(workers.each(abs, [-1])))
workers.close()
"""


def test_who_stops_asking_at_a_refusal_lives_on() -> None:
    """Where the rest was cancelled, Ray aborted this process within some thirty refusals."""
    done = subprocess.run([sys.executable, "-c", REFUSED], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "{-1: 1}\n"


JOIN = """
import sys
from forecaster.errors import EngineUnavailable
from pipelines.engines.cluster import Cluster
workers = Cluster(address=sys.argv[1])
try:
    print("answered", dict(workers.each(abs, [-1])))
except EngineUnavailable as error:
    print("refused", error)
"""


def test_who_has_not_the_token_is_refused(ray: Cluster) -> None:
    assert dict(ray.each(abs, [-1])) == {-1: 1}
    (head,) = [p for p in psutil.Process().children(recursive=True) if p.name() == "gcs_server"]
    port = next(c.laddr.port for c in head.net_connections("inet") if c.status == "LISTEN")

    def join(token: str) -> str:
        around = os.environ | {"RAY_AUTH_TOKEN": token, "RAY_AUTH_MODE": "token"}
        words = [sys.executable, "-c", JOIN, f"127.0.0.1:{port}"]
        return subprocess.run(words, env=around, capture_output=True, text=True, timeout=300).stdout

    assert join(os.environ["RAY_AUTH_TOKEN"]) == "answered {-1: 1}\n"
    assert join(secrets.token_hex(32)).startswith("refused --engine ray")


# The work itself


@dataclass(frozen=True)
class Backtest:
    """What a walk-forward comparison came to."""

    digests: dict[str, str]
    comparison: Comparison

    def same(self, other: "Backtest") -> bool:
        """Whether not one bit differs."""
        mine, others = self.comparison, other.comparison
        return (
            self.digests == other.digests
            and (mine.key, rows(mine), mine.record()) == (others.key, rows(others), others.record())
            and all(np.array_equal(one.quantiles, others.scored[name].quantiles) for name, one in mine.scored.items())
        )


def rows(comparison: Comparison) -> list[dict[str, object]]:
    """The leaderboard, but for what tells one run of it from another."""
    apart = {"train_seconds", "run_id"}
    return [{name: said for name, said in row.items() if name not in apart} for row in comparison.table()]


def backtest(home: Path, root: Path, workers: Workers) -> Backtest:
    """Every model refitted for each of two folds, and compared, in a copy of a home."""
    made = moved(home, root, workspace(home, LADDER))
    bench = replace(made.bench, workers=workers)
    walked = walk(bench, made.folds, lambda _line: None)
    fits = [fit for one in walked for fold in one.folds for fit in (fold, *fold.members)]
    digests = {made.bench.key(fit.job): fit.artifact.digest for fit in fits}
    return Backtest(digests, compare(walked, "naive", made.folds, "return", workers))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("engines") / "home"
    fetched(root, LADDER).engine.dispose()
    return root


@pytest.fixture(scope="module")
def alone(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Backtest:
    """By this process, one task after the other."""
    found = backtest(home, tmp_path_factory.mktemp("alone") / "home", Pool(1))
    assert len(found.digests) == 2 * (1 + 3 + 3 + 1 + 1 + 1)
    return found


@pytest.mark.slow
def test_a_backtest_on_two_processes_is_the_same_to_the_bit(home: Path, alone: Backtest, tmp_path: Path) -> None:
    workers = Pool(2)
    found = backtest(home, tmp_path / "home", workers)
    workers.close()
    assert found.same(alone)


def kill_one(name: str, killed: list[int]) -> None:
    """SIGKILL to the first child of this process that is seen at work."""
    while not killed:
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if process.name() == name:
                    process.kill()
                    killed.append(process.pid)
                    return
        time.sleep(0.005)


@pytest.mark.slow
def test_a_backtest_on_ray_is_the_same_to_the_bit_though_a_worker_is_killed(
    ray: Cluster, home: Path, alone: Backtest, tmp_path: Path
) -> None:
    killed: list[int] = []
    killer = Thread(target=kill_one, args=("ray::answer", killed), daemon=True)
    killer.start()
    found = backtest(home, tmp_path / "home", ray)
    killer.join(timeout=10)
    assert killed
    assert found.same(alone)

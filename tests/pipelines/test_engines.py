"""Engines: the same answers from this process, from a pool and from Ray, whatever is killed meanwhile."""

import os
import pickle
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from forecaster.artifact import code_digest
from forecaster.contract import Floats
from forecaster.errors import ConfigError, EngineUnavailable, WorkerDied
from pipelines.compare import compare
from pipelines.engines import cluster
from pipelines.engines.base import ALONE, Crew, Workers
from pipelines.engines.cluster import Cluster
from pipelines.engines.parcel import Packer
from pipelines.engines.pool import Pool
from pipelines.train import Trained, scored_jobs, train_all, walk
from pipelines.workspace import Workspace
from tests.pipelines.small_runs import GARCH, GRU, fetched, moved, prices, workspace

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*"),  # mlflow, when it is imported
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # ray leaves its log files open
]

HAR = {"name": "har", "family": "har"}
MLP = {"name": "mlp", "family": "mlp", "lags": 8, "hidden": 4}
LADDER = prices([GRU, MLP, GARCH, HAR, {"name": "pool", "family": "pool", "members": ["gru", "har"]}], {"seeds": 2})


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


def total(asked: tuple[int, Floats]) -> float:
    number, values = asked
    return float(number * values.sum())


def test_answers_belong_to_their_questions(workers: Workers) -> None:
    values = np.random.default_rng(1).standard_normal(5000)
    asked = [(number, values) for number in range(7)]
    found = {question[0]: answer for question, answer in workers.each(total, asked)}
    assert found == {number: total((number, values)) for number in range(7)}
    assert list(workers.each(total, [])) == []


# What goes wrong


def refuse(number: int) -> int:
    if number == 2:
        raise ConfigError("[training] learning_rate", "gru ran away; lower it")
    return number


def divide(number: int) -> float:
    return 1 / (number - 1)


def test_what_a_worker_refuses_comes_back_as_it_was_said(workers: Workers) -> None:
    with pytest.raises(ConfigError, match=r"^\[training\] learning_rate: gru ran away; lower it$"):
        list(workers.each(refuse, [1, 2, 3]))
    with pytest.raises(ZeroDivisionError):
        list(workers.each(divide, [0, 1]))
    assert dict(workers.each(abs, [-3, -4])) == {-3: 3, -4: 4}  # they go on


def die_once(asked: tuple[int, Path]) -> int:
    number, there = asked
    if number == 3 and not there.exists():
        there.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def die(_number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def test_what_a_killed_worker_had_in_hand_is_asked_again(workers: Workers, tmp_path: Path) -> None:
    answers = dict(workers.each(die_once, [(number, tmp_path / "died") for number in range(6)]))
    assert (tmp_path / "died").exists()
    assert {number: value for (number, _), value in answers.items()} == {number: number**2 for number in range(6)}


def test_workers_that_are_always_killed_are_given_up_with_a_remedy(workers: Workers) -> None:
    with pytest.raises(WorkerDied, match="killed 3 times.*fewer --workers"):
        list(workers.each(die, [1, 2]))
    assert dict(workers.each(abs, [-1, -2])) == {-1: 1, -2: 2}


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


def test_an_address_without_ray_is_wrong_usage() -> None:
    from pipelines.cli import app

    done = CliRunner().invoke(app, ["train", "--address", "127.0.0.1:6379"])
    assert done.exit_code == 2
    assert "--engine ray" in done.output


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


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("engines") / "home"
    fetched(root, LADDER).engine.dispose()
    return root


def trained(made: Workspace, workers: Workers) -> dict[str, str]:
    """Label to digest, of all that stands in the run's trees."""
    bench = made.bench
    vars(made)["bench"] = bench = type(bench)(**{**vars(bench), "workers": workers})
    done = train_all(bench, scored_jobs(bench, made.spans), lambda _line: None)
    return {one.job.label: one.artifact.digest for whole in done for one in (whole, *whole.members)}

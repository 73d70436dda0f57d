"""The service's own disk, full or read-only while it runs: it goes on answering, says so once, and catches up."""

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
from away import FROM_MEMORY, FROM_STORE, LATEST, Asked, new_champion, soon, whole_store
from small_store import NOW, SmallStore

from forecaster.store.keys import Key, add_key

BYTES = 1500
"""More than the service logs here; less than what is kept of a model, or of forecasts."""


@contextmanager
def full(live: Asked) -> Iterator[None]:
    """No file of the process's grows beyond some bytes: what it writes stops in the middle."""
    before = resource.prlimit(live.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(live.process.pid, resource.RLIMIT_FSIZE, (BYTES, before[1]))
    yield
    resource.prlimit(live.process.pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def read_only(live: Asked) -> Iterator[None]:
    folder = live.log.parent / "serving"
    folders = [folder, *(path for path in folder.iterdir() if path.is_dir())]
    for one in folders:
        one.chmod(0o555)
    yield
    for one in folders:
        one.chmod(0o755)


def on_disk(store: SmallStore) -> dict[str, bytes]:
    folder = store.home / "serving"
    while True:
        with suppress(FileNotFoundError):  # tidied up meanwhile: looked at again
            return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def champions(store: SmallStore) -> bytes:
    return b"".join(held for name, held in on_disk(store).items() if name.endswith("champion.json"))


def heard_of(live: Asked) -> set[str]:
    """Digests that it answers with."""
    return {live.ask("GET", path).said["model"]["digest"] for path in (LATEST, f"{LATEST}?horizon=1")} | {
        live.ask("GET", "/v1/models/champion").said["digest"]
    }


@pytest.mark.parametrize("harm", [full, read_only])
def test_fault_20_a_disk_that_takes_nothing_costs_no_answer_and_is_caught_up_with(
    tmp_path: Path, harm: Callable[[Asked], AbstractContextManager[None]]
):
    store = whole_store(tmp_path / "home")
    with Asked(store.home, anybody=True) as live:
        assert soon(lambda: live.answers(*FROM_MEMORY, *FROM_STORE) and len(on_disk(store)) == 5)
        before = on_disk(store)
        with harm(live):
            second = new_champion(store, seed=1)
            if harm is read_only:  # a key is less than so many bytes
                add_key(store.engine, Key("0" * 12, "0" * 64, "somebody", ("read",), NOW))
            assert soon(lambda: heard_of(live) == {second.digest})
            time.sleep(1)  # some looks more
            assert live.answers(*FROM_MEMORY, *FROM_STORE)
            assert soon(lambda: on_disk(store) == before)  # what is half written goes again
            told = [line for line in live.log.read_text().splitlines() if "not kept on disk" in line]
            kinds = sorted(line.partition(" not kept")[0].rpartition(" ")[2] for line in told)
            assert kinds == ["book", "champion", *(["keys"] if harm is read_only else [])]
        assert soon(
            lambda: second.digest.encode() in champions(store)
        )  # the book names it, too, and may be there first
        assert soon(lambda: on_disk(store)["book.jsonl"] != before["book.jsonl"])
        assert soon(lambda: len(on_disk(store)) == 5)
    store.remove()
    with Asked(store.home) as live:
        assert live.ask("GET", "/v1/models/champion").said["digest"] == second.digest
        assert live.ask("GET", LATEST).said["model"]["digest"] == second.digest

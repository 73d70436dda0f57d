"""Does a change of model cost a request? `python -m benchmarks.hot_swap [--promotions 100] [--clients 6]`

A real service follows a real store of real prices while models are promoted and their forecasts issued, every change of
another design: other forecasts, other channels, contexts of 8 to 128 sessions, 2 to 21 sessions ahead. A target's key
holds its horizon, so other horizons are other targets: the latest forecast of a symbol, which is of whichever target
issued last, changes its horizon with them, while on demand the target is named. Within a target that is asked with
rows of the caller's own the number of channels stays, or a caller could not know what to send; which they are changes.
Every tenth promotion is a rollback. Meanwhile clients ask without a pause for latest forecasts, forecasts on demand and
predictions, on connections that they keep. No request may fail, no answer may be of a model that had been replaced
before it was asked for, and each is computed again afterwards from the digest that it names.

Then models that must not answer are promoted: each is refused by name, and the one before goes on. Exits 0 where all
holds.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
from sqlalchemy import Engine, text

from benchmarks.data import require
from benchmarks.hot_swap_clients import Answer, Clients, Question
from benchmarks.hot_swap_truth import Change, Truth
from benchmarks.load import BIN, Served, started
from benchmarks.small_models import FAULTS, Design
from forecaster.artifact import Artifact
from forecaster.contract import Target, WindowSpec
from forecaster.store.artifacts import add_artifact
from forecaster.store.champions import Champion, crown, find_champion
from forecaster.store.database import connect, sqlite_url
from forecaster.store.migrate import migrate
from pipelines.config import RunConfig, load_config
from pipelines.fetch import Fetcher
from pipelines.issue import issue
from pipelines.reading import demo_path
from pipelines.score import score
from pipelines.sources.base import Reply
from pipelines.sources.sample import Sample

PAST, NOW = datetime(2018, 11, 20, 23, tzinfo=UTC), datetime(2019, 1, 2, 12, tzinfo=UTC)
SERVE = (str(BIN / "python"), "-m", "serving", "--port", "{port}")
SETTINGS = {"REFRESH_SECONDS": "0.05", "RATE_PER_SECOND": "1e9", "BURST": "1000000000"}
PATIENCE = 60.0
STEADY = "steady"
"""The recipe of every other promotion: its calibration goes on from model to model."""


def design(symbol: str, horizon: int, context: int, *channels: str) -> Design:
    """In short."""
    target = Target(symbols=(symbol,), venue={"^GSPC": "XNYS", "^IXIC": "XNAS"}[symbol], horizon=horizon)
    return Design(target, WindowSpec(context=context, burn_in=2, channels=("log_return", *channels)))


DESIGNS = (
    (
        design("^GSPC", 5, 16, "volume_change"),
        design("^GSPC", 5, 32, "log_range"),
        design("^GSPC", 5, 128, "log_return(^IXIC)"),
    ),
    (
        design("^GSPC", 2, 8),
        design("^GSPC", 2, 64, "close_location", "volume_change"),
        design("^GSPC", 2, 24, "log_range"),
    ),
    (design("^IXIC", 21, 8), design("^IXIC", 21, 128)),
)
"""By target."""
ROWS = np.random.default_rng(0).normal(0, 0.01, (128, 2)).tolist()
QUESTIONS = (
    Question("latest", "/v1/forecasts/^GSPC"),
    Question("latest", "/v1/forecasts/^IXIC"),
    Question("on demand", "/v1/forecasts", {"symbols": ["^GSPC"], "target": "^GSPC-return-5"}),
    Question("on demand", "/v1/forecasts", {"symbols": ["^GSPC"], "target": "^GSPC-return-2"}),
    Question("on demand", "/v1/forecasts", {"symbols": ["^IXIC"]}),
    Question("prediction", "/v1/predict", {"target": "^GSPC-return-5", "context": ROWS, "close": 100.0}),
    Question(
        "prediction", "/v1/predict", {"target": "^IXIC-return-21", "context": [row[:1] for row in ROWS], "close": 0.5}
    ),
)


class Recent(Sample):
    """Three years of the sample: twenty would be read again for every answer on demand, and fewer be given."""

    def bars(self, symbol: str, since: date | None, now: datetime) -> Reply:
        """The reply, without what is older."""
        reply = super().bars(symbol, since, now)
        return replace(reply, bars=reply.bars[reply.bars["session"] >= "2016-01-01"].reset_index(drop=True))


class Shop:
    """A store of real prices, and those who put models in charge of it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.engine: Engine = connect(sqlite_url(home))
        migrate(self.engine)
        fetched = Fetcher(self.engine, Recent(), Recent(), lambda: NOW).fetch(["^GSPC", "^IXIC"], [])
        require(all(one.status == "ok" for one in fetched), "the sample was not fetched")
        self._run = load_config(demo_path())
        self._moves = 0
        self._before: dict[str, Champion] = {}

    def open(self) -> None:
        """A champion of every target, whose first forecasts have come due: calibration has something to go by."""
        for first, *_ in DESIGNS:
            self.promote(first, STEADY)
            run = self.run_of(first)
            issue(self.engine, run, first.target.symbols[0], PAST)
            score(self.engine, run, NOW)
            self.issue(first)

    def add(self, *made: Artifact) -> None:
        """Into the store."""
        with self.engine.begin() as connection:
            for one in made:
                add_artifact(connection, one, NOW)

    def promote(self, one: Design, recipe: str, made: Artifact | None = None) -> Champion:
        """Put a model in charge of a design's target, by compare-and-set; a new one unless `made` is given."""
        self._moves += 1
        walk, made = one.artifact(0), one.artifact(self._moves) if made is None else made
        self.add(walk, made)
        reason = f"promotion {self._moves}"
        facts = {"candidate": "small", "checks": [], "walk": walk.digest, "recipe": recipe}
        return self._crown(one.target.key, made.digest, {**facts, "passed": self._moves % 2 == 0, "reason": reason})

    def roll_back(self, target: str) -> Champion:
        """Put the one before in charge again."""
        before = self._before[target]
        return self._crown(target, before.digest, {**before.decision, "kind": "rollback"})

    def _crown(self, target: str, digest: str, decision: dict[str, Any]) -> Champion:
        current = find_champion(self.engine, target)
        if current is not None:
            self._before[target] = current
        return crown(self.engine, target, digest, current, decision, NOW)

    def issue(self, one: Design) -> bool:
        """Its champion's forecast into the ledger; whether it is new."""
        return issue(self.engine, self.run_of(one), one.target.symbols[0], NOW).fresh

    def run_of(self, one: Design) -> RunConfig:
        """The run that a design is of."""
        return self._run.model_copy(update={"target": one.target})

    def damage(self, digest: str) -> None:
        """Cut a stored graph short."""
        with self.engine.begin() as connection:
            query = text("UPDATE artifact SET model = substr(model, 1, length(model) - 1) WHERE digest = :digest")
            connection.execute(query, {"digest": digest})


@dataclass(frozen=True)
class Found:
    """What a run came to."""

    promotions: int
    answers: Counter[str]
    """By kind of question."""
    spoke: int
    """Models whose answers were right."""
    failed: list[str]
    wrong: list[str]
    old: list[str]
    refused: dict[str, str]
    """What must not answer, and why it does not."""
    let_in: list[str]
    said: list[Answer] = field(repr=False)

    @property
    def holds(self) -> bool:
        """Whether all is as it must be."""
        asked = len(self.answers) == len({one.kind for one in QUESTIONS})
        heard = self.spoke > 0.8 * self.promotions  # the last of a target may be replaced before anybody asks
        return asked and heard and not (self.failed or self.wrong or self.old or self.let_in)

    def __str__(self) -> str:
        asked = ", ".join(f"{count} {kind}" for kind, count in sorted(self.answers.items()))
        return (
            f"{self.promotions} promotions under load: {self.answers.total()} answers ({asked}) by {self.spoke} "
            f"models; {len(self.failed)} requests failed, {len(self.wrong)} answers are not their digest's, "
            f"{len(self.old)} are of a model replaced before; of bad candidates {len(self.refused)} were refused, "
            f"{len(self.let_in)} let in"
        )


def run(shop: Shop, promotions: int, clients: int) -> Found:
    """Promote under load, try to have bad models answer, and look at every answer."""
    settings = {f"FORECASTER_{name}": value for name, value in {**SETTINGS, "HOME": str(shop.home)}.items()}
    with (
        started(SERVE, "/readyz", settings) as service,
        Watch(service) as watch,
        Clients(service, QUESTIONS, clients) as asking,
    ):
        changes = [swap(shop, watch, number) for number in range(promotions)]
        refused, let_in = tempt(shop, watch, shop.home / "trap")
        changes.append(swap(shop, watch, 0))
        if watch.refused():
            let_in.append("a refusal stands though a good one has come")
    truth = Truth(shop.engine, NOW)
    wrong = [line for one in asking.answers if (line := truth.differs(one)) is not None]
    old = [f"{one.question.kind}: {one.content[:200]!r}" for one in asking.answers if truth.is_old(one, changes)]
    answers = Counter[str]()
    for one in asking.answers:
        answers[one.question.kind] += one.count
    return Found(promotions, answers, len(truth.spoke), asking.failed, wrong, old, refused, let_in, asking.answers)


class Watch:
    """What the service says of itself."""

    def __init__(self, service: Served) -> None:
        self._client = httpx.Client(base_url=service.url, trust_env=False, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def in_charge(self, target: str) -> tuple[int, str]:
        """Version and digest."""
        models = self._client.get("/v1/models").json()["models"]
        return next((one["version"], one["digest"]) for one in models if one["target"] == target)

    def latest(self, symbol: str) -> str:
        """Digest of its newest forecast."""
        digest: str = self._client.get(f"/v1/forecasts/{symbol}").json()["model"]["digest"]
        return digest

    def refused(self) -> dict[str, str]:
        """Digest to reason."""
        return {one["digest"]: one["reason"] for one in self._client.get("/readyz").json()["refused"]}


def swap(shop: Shop, watch: Watch, number: int) -> Change:
    """One promotion, until the service says so."""
    designs = DESIGNS[number % len(DESIGNS)]
    one = designs[number // len(DESIGNS) % len(designs)]
    if number % 10 == 9:
        champion = shop.roll_back(one.target.key)
    else:
        champion = shop.promote(one, STEADY if number % 2 else f"recipe {number}")
    fresh = shop.issue(one)
    until(lambda: watch.in_charge(champion.target) == (champion.version, champion.digest), "a promotion")
    change = Change(time.monotonic(), champion.target, champion.version)
    if fresh:
        until(lambda: watch.latest(one.target.symbols[0]) == champion.digest, "a forecast")
    return change


def tempt(shop: Shop, watch: Watch, trap: Path) -> tuple[dict[str, str], list[str]]:
    """Promote what must not answer: what was refused, with its reason, and what was not."""
    one, other = DESIGNS[0][0], DESIGNS[1][0]
    candidates: dict[str, Artifact] = {fault: one.broken(fault, -place, trap) for place, fault in enumerate(FAULTS, 1)}
    candidates |= {"damaged": one.artifact(-100), "another target": other.artifact(-101)}
    before = watch.in_charge(one.target.key)

    def decided(digest: str) -> bool:
        return digest in watch.refused() or watch.in_charge(one.target.key) != before

    refused: dict[str, str] = {}
    for name, made in candidates.items():
        shop.add(made)
        if name == "damaged":
            shop.damage(made.digest)
        shop.promote(one, f"recipe {name}", made)
        until(partial(decided, made.digest), name)
        if watch.in_charge(one.target.key) == before and not trap.exists():
            refused[name] = watch.refused()[made.digest]
    return refused, sorted(set(candidates) - set(refused))


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for it, not for ever."""
    end = time.monotonic() + PATIENCE
    while not holds():
        require(time.monotonic() < end, f"{what} was not followed within {PATIENCE:.0f} s")
        time.sleep(0.01)


def main() -> int:
    """Swap and tempt."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--promotions", type=int, default=100)
    parser.add_argument("--clients", type=int, default=6)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        shop = Shop(Path(name))
        shop.open()
        found = run(shop, asked.promotions, asked.clients)
        shop.engine.dispose()
    for line in (*found.failed[:10], *found.wrong[:10], *found.old[:10], *found.let_in):
        print(line)
    for name, reason in found.refused.items():
        print(f"refused, {name}: {reason}")
    print(found)
    return int(not found.holds)


if __name__ == "__main__":
    sys.exit(main())

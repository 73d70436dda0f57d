"""A small store with real artifacts, made without torch: a graph that scales a table of quantiles."""

import hashlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import NormalDist

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sqlalchemy import text

from forecaster.artifact import Artifact, Manifest, golden_context
from forecaster.contract import LEVELS, Target, WindowSpec
from forecaster.store.artifacts import add_artifact
from forecaster.store.champions import Champion, crown, find_champion
from forecaster.store.database import connect, sqlite_url
from forecaster.store.history import Instrument, add_instrument
from forecaster.store.ledger import Entry, add_entries
from forecaster.store.migrate import migrate

NOW = datetime(2018, 12, 29, 12, tzinfo=UTC)
ORIGIN = date(2018, 12, 28)
CLOSE = 6584.52
WINDOW = WindowSpec(context=8, burn_in=2, channels=("log_return", "volume"))
PASSED = {"candidate": "small", "passed": True, "reason": "beats the random walk", "checks": []}
BY_DEFAULT = {"candidate": "naive", "passed": False, "reason": "nothing beats the random walk", "checks": []}


def table(horizon: int, seed: int = 0) -> np.ndarray:
    """Ordered quantiles [H, Q]; another seed, another model."""
    normal = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
    return np.sqrt(np.arange(1, horizon + 1))[:, None].astype(np.float32) * (normal + 0.01 * seed).astype(np.float32)


def graph(quantiles: np.ndarray, length: str | int = "length") -> bytes:
    """quantiles [B, H, Q] = mean |context| * table."""
    context = helper.make_tensor_value_info("context", TensorProto.FLOAT, ["batch", length, len(WINDOW.channels)])
    output = helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, ["batch", *quantiles.shape])
    constants = [
        numpy_helper.from_array(quantiles[None], "table"),
        numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "axes"),
    ]
    nodes = [
        helper.make_node("Abs", ["context"], ["size"]),
        helper.make_node("ReduceMean", ["size", "axes"], ["scale"], keepdims=1),
        helper.make_node("Mul", ["scale", "table"], ["quantiles"]),
    ]
    made = helper.make_graph(nodes, "small", [context], [output], constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def small_artifact(symbol: str = "^IXIC", horizon: int = 2, seed: int = 0, model: bytes | None = None) -> Artifact:
    """A sealed artifact; `model` puts another graph in the place of the one its golden forecast came from."""
    quantiles = table(horizon, seed)
    model = graph(quantiles) if model is None else model
    manifest = Manifest(
        name="small",
        family="naive",
        target=Target(symbols=(symbol,), venue="XNYS", horizon=horizon),
        window=WINDOW,
        config={},
        snapshot="5" * 64,
        trained_from=date(2010, 1, 4),
        trained_until=date(2016, 12, 30),
        chosen_until=None,
        epochs=0,
        code="c" * 64,
        levels=LEVELS,
        density=(),
        parameters=0,
        warm_up=1,
        model_sha256=hashlib.sha256(model).hexdigest(),
        golden=(np.abs(golden_context(WINDOW)).mean() * quantiles).tolist(),
    )
    return Artifact.seal(manifest, model)


class SmallStore:
    """A migrated store that knows ^IXIC and MSFT, in a home directory or elsewhere; nothing is promoted."""

    def __init__(self, home: Path, url: str | None = None) -> None:
        home.mkdir()
        self.home = home
        self.file = home / "forecaster.db"
        self.engine = connect(url or sqlite_url(home))
        migrate(self.engine)
        with self.engine.begin() as connection:
            for symbol in ("^IXIC", "MSFT"):
                add_instrument(connection, Instrument(symbol, "XNYS", "USD", "sample"))

    def promote(self, artifact: Artifact, decision: dict | None = None, target: str | None = None) -> Champion:
        """Store an artifact and put it in charge."""
        key = artifact.manifest.target.key if target is None else target
        with self.engine.begin() as connection:
            add_artifact(connection, artifact, NOW)
        current = find_champion(self.engine, key)
        return crown(self.engine, key, artifact.digest, current, PASSED if decision is None else decision, NOW)

    def issue(self, champion: Champion, symbol: str = "^IXIC", quantiles: list[float] | None = None) -> None:
        """Write a forecast of two sessions into the ledger."""
        entries = [
            Entry(
                target=champion.target,
                symbol=symbol,
                origin=ORIGIN,
                horizon=horizon,
                session=ORIGIN + timedelta(days=2 + horizon),
                digest=champion.digest,
                version=champion.version,
                origin_close=CLOSE,
                quantiles=(0.01 * table(2)[horizon - 1]).tolist() if quantiles is None else quantiles,
                issued_at=NOW,
            )
            for horizon in (1, 2)
        ]
        add_entries(self.engine, entries)

    def damage(self, artifact: Artifact) -> None:
        """Flip the last byte of a stored graph."""
        spoilt = artifact.model[:-1] + bytes([artifact.model[-1] ^ 1])
        with self.engine.begin() as connection:
            query = text("UPDATE artifact SET model = :model WHERE digest = :digest")
            connection.execute(query, {"model": spoilt, "digest": artifact.digest})

    def remove(self) -> None:
        """Take the database away."""
        self.engine.dispose()
        for path in self.home.glob("forecaster.db*"):
            path.unlink()

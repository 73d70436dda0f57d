"""A model, what the gate said of it, and the others, as they are answered."""

from datetime import date, datetime

from pydantic import Field

from forecaster.contract import Frozen

_TARGET = Field(description="Symbols, kind and longest horizon.", examples=["^IXIC-return-5"])
_VERSION = Field(description="Of the target's champions, counted from 1.", examples=[3])
_REASON = Field(description="Why.", examples=["lstm beats the random walk (skill +1.20% (s.e. 0.30%), p = 3e-05)"])


class InCharge(Frozen):
    """The model in charge of a target, in short."""

    target: str = _TARGET
    symbols: list[str] = Field(description="What it forecasts.", examples=[["^IXIC"]])
    horizon: int = Field(description="Sessions ahead.", examples=[5])
    family: str = Field(description="Kind of model.", examples=["lstm"])
    name: str = Field(description="Its name in the run.", examples=["lstm"])
    version: int = _VERSION
    digest: str = Field(description="SHA-256 of its artifact.")
    passed: bool = Field(description="Whether it passed the gate; false: it is the random walk, by default.")
    reason: str = _REASON
    since: datetime = Field(description="When it was put in charge (UTC).")


class Models(Frozen):
    """The models in charge."""

    models: list[InCharge] = Field(description="By target.")


class Check(Frozen):
    """A question of the gate, and its answer."""

    question: str = Field(examples=["better than the random walk"])
    passed: bool
    figures: str = Field(examples=["skill +1.20% (s.e. 0.30%), p = 3e-05 against 0.0025 = 0.005 / 2 recipes seen"])


class Move(Frozen):
    """One change of who is in charge."""

    version: int = _VERSION
    digest: str = Field(description="SHA-256 of the artifact that was put in charge.")
    kind: str | None = Field(
        description='How: "challenge", "fallback" (nothing passed), "refresh" (refitted on newer data) or "rollback"; '
        "null in a record that is older than this word.",
        examples=["challenge"],
    )
    passed: bool = Field(description="Whether its recipe passed the gate.")
    reason: str = _REASON
    at: datetime = Field(description="When (UTC).")


class ModelAnswer(Frozen):
    """A model that is or was in charge of a target."""

    target: str = _TARGET
    symbols: list[str] = Field(description="What it forecasts.", examples=[["^IXIC"]])
    horizon: int = Field(description="Sessions ahead.", examples=[5])
    family: str = Field(description="Kind of model.", examples=["lstm"])
    name: str = Field(description="Its name in the run.", examples=["lstm"])
    version: int = _VERSION
    digest: str = Field(description="SHA-256 of its artifact.")
    promoted_at: datetime = Field(description="When it was put in charge (UTC).")
    in_charge: bool = Field(description="Whether it answers now.")
    passed: bool = Field(description="Whether it passed the gate; false: it is the random walk, by default.")
    reason: str = _REASON
    checks: list[Check] = Field(description="What the gate asked of its recipe.")
    walk: str | None = Field(description="SHA-256 of the random walk that stands beside it; null where none is named.")
    trained_from: date = Field(description="First origin it was trained on.", examples=["2000-01-03"])
    trained_until: date = Field(description="Nothing later was read for its weights.", examples=["2016-12-30"])
    data_until: date = Field(
        description="Last session that was read for its weights, or to choose among them.", examples=["2017-12-29"]
    )
    snapshot: str = Field(description="Digest of the data it was trained on.")
    code: str = Field(description="Digest of the source that trained it.")
    parameters: int = Field(description="Trained weights.", examples=[5123])
    epochs: int = Field(description="Passes over the data; 0 for a model that is estimated at once.", examples=[12])
    levels: list[float] = Field(description="Quantile levels it answers.", examples=[[0.05, 0.5, 0.95]])
    channels: list[str] = Field(description="What it sees of each session.", examples=[["log_return"]])
    context: int = Field(description="Sessions it sees.", examples=[64])
    history: list[Move] | None = Field(
        description="Every change of who is in charge of the target, the newest first; null while the database is away."
    )


class Row(Frozen):
    """A model of a comparison, on years that had no part in making it."""

    model: str = Field(description="Its name in the run.", examples=["lstm"])
    family: str = Field(description="Kind of model.", examples=["lstm"])
    skill: float | None = Field(description="Share of the random walk's error that was saved.", examples=[0.012])
    skill_se: float | None = Field(description="Its standard error.", examples=[0.003])
    p: float | None = Field(description="One-sided, against the random walk (Diebold-Mariano).", examples=[3e-05])
    p_holm: float | None = Field(description="The same, for all that were compared (Holm).", examples=[9e-05])
    crps: float | None = Field(description="Mean error, in percent log return or the series' unit.", examples=[0.61])
    coverage_80: float | None = Field(description="Share of outcomes inside the 80 % interval.", examples=[0.803])
    in_charge: bool = Field(description="Whether the model in charge bears its name.")
    candidate: bool = Field(description="Whether it was the one put to the gate.")


class Comparison(Frozen):
    """All models of a run on the same origins, beside the random walk."""

    key: str = Field(description="Names it in MLflow.")
    first: date = Field(description="First of the test origins.", examples=["2015-01-02"])
    last: date = Field(description="Last of them.", examples=["2018-12-20"])
    origins: int = Field(description="Sessions.", examples=[998])
    rows: list[Row] = Field(description="Best skill first.")


class Decision(Frozen):
    """What the gate said to a challenge."""

    number: int = Field(description="Of the target's challenges, counted from 1.", examples=[4])
    candidate: str = Field(description="Name of the model that was put to it.", examples=["lstm"])
    passed: bool
    reason: str = _REASON
    alpha: float = Field(description="What it spent of the year's false promotions.", examples=[0.005])
    recipes: int | None = Field(
        description="Recipes whose scores on the same years had been seen; the alpha was shared among them.",
        examples=[9],
    )
    checks: list[Check]
    at: datetime = Field(description="When (UTC).")


class Leaderboard(Frozen):
    """Who is in charge, the comparison behind the newest decision, and the decisions before."""

    target: str = _TARGET
    in_charge: InCharge
    comparison: Comparison | None = Field(description="Null where no decision has kept one.")
    decisions: list[Decision] = Field(description="The newest ten, the newest first.")


class Server(Frozen):
    """What this is, in the words of KServe's open inference protocol (v2)."""

    name: str = Field(examples=["forecaster"])
    version: str = Field(examples=["0.1.0"])
    extensions: list[str]


class Live(Frozen):
    """The process runs."""

    live: bool


class IsReady(Frozen):
    """It can answer."""

    ready: bool


class Tensor(Frozen):
    """An input or output of the graph; -1 is any size."""

    name: str = Field(examples=["context"])
    datatype: str = Field(examples=["FP32"])
    shape: list[int] = Field(examples=[[-1, 64, 3]])


class ModelMetadata(Frozen):
    """A loaded model, in the words of KServe's open inference protocol (v2)."""

    name: str = Field(description="Key of its target.", examples=["^IXIC-return-5"])
    versions: list[str] = Field(description="Those that are loaded: in charge, then the one before.", examples=[["3"]])
    platform: str = Field(examples=["onnx_onnxv1"])
    inputs: list[Tensor]
    outputs: list[Tensor]


class ModelReady(Frozen):
    """Whether a model is loaded."""

    name: str = Field(examples=["^IXIC-return-5"])
    ready: bool

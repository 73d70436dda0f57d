"""A state that is carried: the windowed answer over a window, another beyond it, and never in its place."""

import json
from datetime import date
from functools import cache

import numpy as np
import pytest
import torch
from small_market import SHORT, stirred, task, windows_from

from forecaster.artifact import Artifact, Manifest, serialise
from forecaster.contract import Target, WindowSpec
from forecaster.errors import ArtifactCorrupt, ConfigError, ContractMismatch, OutputInvalid, WrongMode
from forecaster.families.base import Family, Model, Spec
from forecaster.families.gru import GruFamily
from forecaster.families.lstm import LstmFamily
from forecaster.families.naive import NaiveFamily
from forecaster.families.pool import Pool, PoolFamily
from forecaster.families.rnn import RnnFamily
from forecaster.families.transformer import TransformerFamily
from forecaster.runtime import Runtime
from forecaster.stream import Stream
from forecaster.training.carrying import SEARCHED, carry_state
from forecaster.training.export import PARITY, Provenance, export
from forecaster.training.fit import Fitted
from forecaster.windows import Windows

LENGTH, SYMBOLS, SESSIONS = 24, 5, 90
CHANNELS = ("log_return", "log_range", "volume_change")
WINDOW = WindowSpec(context=LENGTH, burn_in=16, channels=CHANNELS)
NAMED = WindowSpec(context=LENGTH, burn_in=16, channels=(*CHANNELS, "symbol"))
SPEC = Spec(WINDOW, horizon=2)
LSTM = LstmFamily(name="lstm", hidden=5, layers=2, sizes=("log_return", "log_range"))
GRU = GruFamily(name="gru", hidden=6, head="student_t")
POOL = PoolFamily(name="pool", members=(LSTM, GRU))
FAMILIES: tuple[Family, ...] = (
    LSTM,
    GRU,
    RnnFamily(name="rnn", hidden=4, layers=3, nonlinearity="relu", head="gaussian"),
    GruFamily(name="grid", hidden=4, layers=2, memory=20, dropout=0.3, head="quantiles", sizes=("log_return",)),
    POOL,
)
every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def windows_for(spec: Spec) -> Windows:
    rng = np.random.default_rng(3)
    returns = 0.01 * rng.standard_normal(200) * np.exp(0.5 * np.sin(np.arange(200) / 20))
    others = np.column_stack((0.02 * rng.random(200), rng.standard_normal(200)))
    return windows_from(returns, others, spec.window, spec.horizon)


def sealed(model: Model, family: Family, spec: Spec = SPEC) -> Artifact:
    """The windowed artifact of a model."""
    windows = windows_for(spec)
    target = Target(symbols=tuple("ABC"[: spec.symbols]), venue="XNYS", horizon=spec.horizon, kind=spec.kind)
    provenance = Provenance(family, SHORT, target, "5" * 64)
    return export(Fitted(model, 2), spec, task(windows, windows.span(None, None)), provenance)


def made(family: Family, spec: Spec = SPEC) -> tuple[Model, Artifact]:
    """A stirred model and its windowed artifact."""
    model = stirred(family, spec, windows_for(spec))
    return model, sealed(model, family, spec)


@cache
def both(family: Family, spec: Spec = SPEC) -> tuple[Runtime, Stream]:
    """The two ways of asking one model."""
    model, windowed = made(family, spec)
    return Runtime(windowed), Stream(carry_state(model, windowed))


def bars(symbols: int = SYMBOLS, sessions: int = SESSIONS, channels: int = len(CHANNELS)) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (0.01 * rng.standard_normal((symbols, sessions, channels)) + 0.002).astype(np.float32)


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert found.shape == expected.shape
    assert np.max(np.abs(found - expected) / (1 + np.abs(expected))) <= tolerance


@pytest.mark.parametrize(
    ("family", "kind"),
    [*((family, "return") for family in FAMILIES), (LSTM, "level"), (GRU, "level")],
    ids=lambda part: part if isinstance(part, str) else part.name,
)
def test_from_a_fresh_state_every_answer_up_to_the_window_is_the_windowed_graphs(family, kind):
    windowed, stream = both(family, Spec(WINDOW, 2, kind))
    near = SEARCHED if family is POOL else PARITY
    for first in (0, 66):
        block = bars()[:, first : first + LENGTH]
        passed = stream.step(block, stream.begin(SYMBOLS))
        for length in (1, 2, 17, LENGTH):
            quantiles, parameters = windowed.distributions(np.ascontiguousarray(block[:, :length]))
            assert_close(passed.quantiles[:, length - 1], quantiles, near)
            assert (parameters is None) == (passed.parameters is None)
            if parameters is not None and passed.parameters is not None:
                assert_close(passed.parameters[:, length - 1], parameters, 1e-5)


def test_a_global_model_is_carried_for_each_symbol_by_its_number():
    windowed, stream = both(LSTM, Spec(NAMED, 2, symbols=3))
    block = np.concatenate((bars(4, LENGTH), np.repeat([[[0.0]], [[1.0]], [[2.0]], [[3.0]]], LENGTH, 1)), 2)
    block = block.astype(np.float32)
    passed = stream.step(block, stream.begin(4))
    assert_close(passed.quantiles[:, -1], windowed.quantiles(block), 1e-5)
    alike = np.repeat(block[:1, :, :3], 4, 0)
    told = stream.step(np.concatenate((alike, block[..., 3:]), 2), stream.begin(4)).quantiles[:, -1]
    assert len(np.unique(told[:, 0, 3])) == 4  # the symbol alone makes the difference


@every_family
def test_beyond_the_window_it_remembers_what_the_window_has_forgotten(family):
    windowed, stream = both(family)
    early = bars()
    early[:, : SESSIONS - LENGTH] *= 3
    last = [stream.step(one, stream.begin(SYMBOLS)).quantiles[:, -1] for one in (bars(), early)]
    same = [windowed.quantiles(np.ascontiguousarray(one[:, -LENGTH:])) for one in (bars(), early)]
    assert (same[0] == same[1]).all()
    assert np.abs(last[0] - last[1]).max() > 1e-5


@every_family
@pytest.mark.parametrize("cuts", [[1] * SESSIONS, [7, 1, 50, 32]], ids=["one", "uneven"])
def test_where_a_stream_is_cut_makes_no_difference(family, cuts):
    near = SEARCHED if family is POOL else 1e-6
    _, stream = both(family)
    whole, state, told = stream.step(bars(), stream.begin(SYMBOLS)), stream.begin(SYMBOLS), []
    for length in cuts:
        start = sum(one.quantiles.shape[1] for one in told)
        told.append(stream.step(bars()[:, start : start + length], state))
        state = told[-1].state
    assert_close(np.concatenate([one.quantiles for one in told], axis=1), whole.quantiles, near)
    for name, value in whole.state.items():
        assert_close(state[name], value, 1e-6)


def test_a_pass_longer_than_a_call_says_what_steps_say():
    _, stream = both(GRU)
    long = bars(40, 210)
    whole, state = stream.step(long, stream.begin(40)), stream.begin(40)
    for session in range(210):
        passed = stream.step(long[:, session : session + 1], state)
        assert_close(passed.quantiles[:, 0], whole.quantiles[:, session], 1e-6)
        state = passed.state


@every_family
def test_what_comes_later_moves_no_bit_of_an_earlier_answer(family):
    _, stream = both(family)
    before = stream.step(bars(), stream.begin(SYMBOLS))
    for place in (0, 1, 40, SESSIONS - 2):
        other = bars()
        other[:, place + 1 :] = 0.5 * np.random.default_rng(place).standard_normal(other[:, place + 1 :].shape)
        after = stream.step(other, stream.begin(SYMBOLS))
        assert (before.quantiles[:, : place + 1] == after.quantiles[:, : place + 1]).all()
        assert (before.quantiles[:, place + 1] != after.quantiles[:, place + 1]).any()  # it does read its own


@every_family
def test_a_symbols_answers_do_not_depend_on_those_beside_it(family):
    _, stream = both(family)
    together = stream.step(bars(), stream.begin(SYMBOLS))
    alone = stream.step(bars()[2:3], stream.begin(1))
    assert_close(alone.quantiles, together.quantiles[2:3], SEARCHED if family is POOL else 1e-6)


def test_a_state_is_not_used_up():
    _, stream = both(LSTM)
    state = stream.step(bars(), stream.begin(SYMBOLS)).state
    kept = {name: value.copy() for name, value in state.items()}
    one, other = (stream.step(bars(), state).quantiles for _ in range(2))
    assert (one == other).all()
    assert all((state[name] == value).all() for name, value in kept.items())


def test_the_manifest_declares_the_mode_and_what_it_was_made_from():
    model, windowed = made(LSTM)
    twin = carry_state(model, windowed)
    assert twin.manifest.mode == "carried"
    assert twin.manifest.made_from == (windowed.digest,)
    assert twin.digest != windowed.digest
    assert json.loads(serialise(twin.manifest))["mode"] == "carried"
    assert carry_state(model, windowed).digest == twin.digest  # the same once more
    assert Artifact.verify(twin.digest, serialise(twin.manifest), twin.model) == twin


def test_a_windowed_manifest_has_the_bytes_that_it_always_had():
    _, windowed = made(GRU)
    text = serialise(windowed.manifest)
    assert "mode" not in json.loads(text)
    assert Manifest.model_validate_json(text).mode == "windowed"


def test_each_mode_is_refused_in_the_others_place_with_what_to_do():
    model, windowed = made(LSTM)
    twin = carry_state(model, windowed)
    with pytest.raises(WrongMode, match=f"is carried.*choose {windowed.digest[:12]}") as error:
        Runtime(twin)
    assert "\n" not in str(error.value)
    with pytest.raises(WrongMode, match="is carried"):
        Runtime(twin, single=True)
    with pytest.raises(WrongMode, match=f"is windowed.*forecaster carry {windowed.digest[:12]}"):
        Stream(windowed)


@pytest.mark.parametrize(
    "family",
    [
        NaiveFamily(name="naive"),
        TransformerFamily(name="transformer", width=4, heads=2, layers=1),
        PoolFamily(name="mixed", members=(GRU, NaiveFamily(name="naive"))),
    ],
    ids=lambda family: family.name,
)
def test_a_model_without_a_state_has_no_twin(family):
    model, windowed = made(family)
    with pytest.raises(ConfigError, match="has no state to carry"):
        carry_state(model, windowed)


def test_a_twin_of_other_weights_is_never_sealed():
    model, windowed = made(GRU)
    with torch.no_grad():
        next(model.parameters()).add_(0.5)
    with pytest.raises((ArtifactCorrupt, ContractMismatch)):
        carry_state(model, windowed)


def test_a_declared_mode_does_not_make_a_graph_carry():
    _, windowed = made(GRU)
    claimed = windowed.manifest.model_copy(update={"mode": "carried"})
    with pytest.raises(ContractMismatch, match="bars"):
        Stream(Artifact.seal(claimed, windowed.model))
    model, windowed = made(GRU)
    twin = carry_state(model, windowed)
    claimed = twin.manifest.model_copy(update={"mode": "windowed"})
    with pytest.raises(ContractMismatch, match="context"):
        Runtime(Artifact.seal(claimed, twin.model))


def test_another_golden_forecast_is_refused():
    model, windowed = made(GRU)
    twin = carry_state(model, windowed)
    golden = tuple(tuple(value + 1e-3 for value in row) for row in twin.manifest.golden)
    with pytest.raises(ArtifactCorrupt, match="golden forecast is off"):
        Stream(Artifact.seal(twin.manifest.model_copy(update={"golden": golden}), twin.model))


def test_bars_and_states_of_another_shape_and_holes_are_refused():
    _, stream = both(LSTM)
    for shape in ((SYMBOLS, 3), (SYMBOLS, 3, 4), (SYMBOLS, 0, 3)):
        with pytest.raises(ContractMismatch):
            stream.step(np.zeros(shape, dtype=np.float32), stream.begin(SYMBOLS))
    with pytest.raises(ContractMismatch):
        stream.step(bars(), stream.begin(SYMBOLS + 1))
    with pytest.raises(ContractMismatch):
        stream.step(bars(), {name: value for name, value in stream.begin(SYMBOLS).items() if name != "cell"})
    hole = bars()
    hole[1, 4, 1] = np.nan
    with pytest.raises(OutputInvalid, match="not finite"):
        stream.step(hole, stream.begin(SYMBOLS))


def test_weights_of_a_pool_are_carried_over():
    model, windowed = made(POOL)
    assert isinstance(model, Pool)
    model.share.copy_(torch.tensor([0.9, 0.1]))
    weighed = sealed(model, POOL)
    assert weighed.digest != windowed.digest
    stream, block = Stream(carry_state(model, weighed)), bars(SYMBOLS, LENGTH)
    told = stream.step(block, stream.begin(SYMBOLS)).quantiles[:, -1]
    assert_close(told, Runtime(weighed).quantiles(block), SEARCHED)
    assert np.abs(told - Runtime(windowed).quantiles(block)).max() > 1e-3


def test_the_span_that_was_read_is_the_windowed_models():
    model, windowed = made(LSTM)
    twin, own = carry_state(model, windowed).manifest, windowed.manifest
    assert (twin.trained_from, twin.trained_until) == (own.trained_from, own.trained_until)
    assert twin.trained_from >= date(2001, 1, 1)

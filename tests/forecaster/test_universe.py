"""One model for several symbols: who is who, who is nobody, and how the unknown symbol is learned."""

from datetime import date

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from forecaster.contract import Target, WindowSpec
from forecaster.errors import TooShort
from forecaster.families.base import Network, Spec
from forecaster.families.gru import GruFamily
from forecaster.features import Channels
from forecaster.training.batches import Table, tiles
from forecaster.training.config import TrainingConfig
from forecaster.training.export import parity, to_onnx
from forecaster.training.learner import Learner
from forecaster.windows import Sample, Windows, split

WINDOW = WindowSpec(context=12, burn_in=5, channels=("log_return", "log_range", "symbol"))
TARGET = Target(symbols=("A", "B", "C"), venue="XNYS", horizon=2)
SPEC = Spec(WINDOW, 2, symbols=3)
FORGET = 0.1


def windows_of(symbol: str, count: int = 200, start: int = 0) -> Windows:
    rng = np.random.default_rng(sum(map(ord, symbol)))
    sessions = np.datetime64("2001-01-01") + np.arange(start, start + count)
    returns = 0.01 * rng.standard_normal(count)
    close = 100 * np.exp(np.cumsum(returns))
    channels = Channels(sessions, np.column_stack((returns, rng.random(count))), close, close, 1, symbol)
    return Windows.of(channels, WINDOW, TARGET.horizon, "return", TARGET.number(symbol))


UNIVERSE = tuple(windows_of(symbol, start=20 * place) for place, symbol in enumerate(TARGET.symbols))
SAMPLES = tuple(Sample(windows, windows.span(None, None)) for windows in UNIVERSE)


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    made = GruFamily(name="gru", hidden=4).build(SPEC)
    assert isinstance(made, Network)
    made.estimate(SAMPLES)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return made


# Who is who


def test_symbols_are_numbered_from_one_and_a_stranger_is_zero():
    assert [TARGET.number(symbol) for symbol in ("A", "B", "C", "D")] == [1, 2, 3, 0]
    assert [set(windows_of(symbol).values[:, -1]) for symbol in ("A", "C", "D")] == [{1.0}, {3.0}, {0.0}]


def test_a_targets_name_stays_short_and_depends_on_its_symbols_and_their_order():
    names = {Target(symbols=symbols, venue="XNYS", horizon=2).key for symbols in (("A", "B"), ("B", "A"), ("A", "C"))}
    assert len(names) == 3
    many = Target(symbols=tuple(f"S{number}" for number in range(500)), venue="XNYS", horizon=2)
    assert len(many.key) < 64
    assert Target(symbols=("A",), venue="XNYS", horizon=2).key == "A-return-2"


@pytest.mark.parametrize("symbols", [(), ("A", "A"), ("../A",), "A"])
def test_symbols_that_cannot_be_are_refused(symbols):
    with pytest.raises(ValidationError):
        Target(symbols=symbols, venue="XNYS", horizon=2)


def test_the_symbols_channel_is_the_last_and_no_feature():
    assert WINDOW.features == ("log_return", "log_range")
    with pytest.raises(ValidationError, match="must be the last one"):
        WindowSpec(context=12, burn_in=5, channels=("log_return", "symbol", "log_range"))
    assert WindowSpec(context=12, burn_in=5, channels=("log_return",)).features == ("log_return",)


def test_a_universe_is_split_at_the_same_dates():
    spans = split(UNIVERSE, date(2001, 4, 15), date(2001, 6, 1), None)
    for place in range(3):
        train, held_out, test = (part[place] for part in (spans.train, spans.validation, spans.test))
        sessions = train.windows.sessions
        assert sessions[held_out.origins[0]] == np.datetime64("2001-04-15")
        assert sessions[train.origins[-1] + 2] == np.datetime64("2001-04-15")
        assert sessions[held_out.origins[-1] + 2] == sessions[test.origins[0]] == np.datetime64("2001-06-01")


def test_the_symbol_with_too_short_a_span_is_named():
    with pytest.raises(TooShort, match="the training span of C"):
        split(UNIVERSE, date(2001, 2, 25), date(2001, 6, 1), None)


# What is learned


def test_an_answer_depends_on_the_symbol(network):
    context = torch.from_numpy(UNIVERSE[0].contexts(np.array([100])))
    answers = []
    for number in range(4):
        context[..., -1] = number
        with torch.inference_mode():
            answers.append(network.eval()(context)[0])
    assert all(not torch.equal(answers[0], other) for other in answers[1:])


def test_a_context_of_a_stranger_is_answered_by_row_zero(network):
    stranger = torch.from_numpy(windows_of("D").contexts(np.array([100])))
    assert network.embedding is not None
    with torch.inference_mode():
        before = network.eval()(stranger)[0]
        network.embedding.weight[1:] += 5.0
        assert torch.equal(network(stranger)[0], before)
        network.embedding.weight[0] += 5.0
        assert not torch.equal(network(stranger)[0], before)


def test_ids_are_hidden_in_training_at_the_stated_rate_and_never_otherwise(network):
    block = torch.from_numpy(UNIVERSE[1].contexts(np.arange(11, 190)))
    block = block.repeat(60, 1, 1)
    assert network.embedding is not None
    with torch.inference_mode():
        rows = network.embedding.weight
        network.train()
        vectors = network.standardise(block)[..., WINDOW_FEATURES:]
        hidden = (vectors == rows[0]).all(-1)
        assert (hidden | (vectors == rows[2]).all(-1)).all()
        assert (hidden.all(1) == hidden.any(1)).all()  # a block is hidden whole
        share = float(hidden[:, 0].float().mean())
        assert share == pytest.approx(FORGET, abs=4 * np.sqrt(FORGET * (1 - FORGET) / len(block)))
        network.eval()
        assert (network.standardise(block)[..., WINDOW_FEATURES:] == rows[2]).all()


WINDOW_FEATURES = len(WINDOW.features)


def test_the_gradient_reaches_the_row_of_every_symbol_and_that_of_the_unknown(network):
    torch.manual_seed(1)
    network.train()
    learner = Learner(network, TrainingConfig())
    (batch,) = tiles(Table.of(SAMPLES), 1000, np.random.default_rng(0))
    assert sorted(batch.inputs[:, -1, -1].unique().tolist()) == [1.0, 2.0, 3.0]  # all symbols in one batch
    learner.loss(batch).backward()
    assert network.embedding is not None
    assert network.embedding.weight.grad is not None
    assert (network.embedding.weight.grad.abs().sum(1) > 0).all()


def test_blocks_of_a_universe_cover_each_symbols_origins_once_and_mix_no_two():
    table = Table.of(SAMPLES)
    batches = list(tiles(table, 4, np.random.default_rng(0)))
    assert sum(float(batch.weight.sum()) for batch in batches) == sum(len(sample.origins) for sample in SAMPLES)
    for batch in batches:
        numbers, live = batch.inputs[..., -1], batch.weight.bool()
        assert (numbers == numbers[:, -1:]).all(1)[live.any(1)].all()


def test_the_spread_is_that_of_all_symbols(network):
    values = np.concatenate([sample.windows.known(int(sample.origins[-1])) for sample in SAMPLES])
    np.testing.assert_allclose(network.spread.numpy(), values[:, :2].std(0, ddof=1), rtol=1e-5)


@pytest.mark.parametrize("size", [1, 9])
def test_a_global_models_graph_answers_as_torch_does_for_every_symbol(network, size):
    graph = to_onnx(network.eval(), torch.from_numpy(UNIVERSE[0].contexts(np.array([50, 60]))))
    for windows in (*UNIVERSE, windows_of("D")):
        contexts = torch.from_numpy(windows.contexts(np.arange(100, 100 + size)))
        assert parity(network, graph, contexts) <= 1e-5

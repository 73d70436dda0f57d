"""The Markov chain: counted as a plain loop counts, backed off as an urn would, silent where nothing is to be said."""

import math
from collections import Counter

import numpy as np
import onnxruntime
import pytest
import torch
from pydantic import ValidationError

from forecaster.contract import LEVELS, MEDIAN, WindowSpec
from forecaster.families.base import DECAY, Spec
from forecaster.families.ngram import Ngram, NgramFamily, backed_off, edges, mixed_quantiles
from forecaster.features import Channels
from forecaster.training.export import to_onnx
from forecaster.windows import Sample, Windows

HORIZON = 3
WINDOW = WindowSpec(context=24, burn_in=12, channels=("log_return",))
SPEC = Spec(WINDOW, HORIZON)


def windows_of(returns: np.ndarray) -> Windows:
    close = 100 * np.exp(np.cumsum(returns))
    sessions = np.datetime64("2001-01-01") + np.arange(len(returns))
    return Windows.of(Channels(sessions, returns[:, None], close, close), WINDOW, HORIZON)


def noise(count: int = 600, seed: int = 0) -> np.ndarray:
    return 0.01 * np.random.default_rng(seed).standard_normal(count)


def sample_of(returns: np.ndarray, until: int | None = None) -> Sample:
    windows = windows_of(returns)
    return Sample(windows, windows.span(None, None)[:until])


def estimated(*samples: Sample, order: int = 2, bins: int = 3) -> Ngram:
    model = NgramFamily(name="chain", order=order, bins=bins).build(SPEC)
    model.estimate(samples)
    return model.eval()


def median(model: Ngram, sample: Sample) -> np.ndarray:
    """One step ahead, at each origin."""
    with torch.inference_mode():
        return model(torch.from_numpy(sample.windows.contexts(sample.origins)))[0][:, 0, MEDIAN].numpy()


def scale_at(sample: Sample, origin: int, session: int) -> float:
    """EWMA scale at a session, from the context of the origin, one return at a time."""
    first = origin - WINDOW.context + 1
    weights = {past: DECAY ** (session - past) for past in range(first, session + 1)}
    squares = sum(weight * sample.windows.values[past, 0] ** 2 for past, weight in weights.items())
    return math.sqrt(squares / sum(weights.values()))


def contexts_by_loop(model: Ngram, sample: Sample) -> list[tuple[int, ...]]:
    """Symbols of the last n returns at each origin, oldest first."""
    found = []
    for origin in sample.origins.tolist():
        sessions = range(origin - model.order + 1, origin + 1)
        recent = [sample.windows.values[at, 0] / scale_at(sample, origin, at - 1) for at in sessions]
        found.append(tuple(sum(value > edge for edge in model.edges.tolist()) for value in recent))
    return found


@pytest.mark.parametrize(("order", "bins"), [(1, 2), (2, 3), (3, 4)])
def test_contexts_are_counted_as_a_plain_loop_counts_them(order, bins):
    sample = sample_of(noise(200))
    model = estimated(sample, order=order, bins=bins)
    by_loop = Counter(contexts_by_loop(model, sample))
    places = [bins**place for place in reversed(range(order))]
    expected = np.zeros(bins**order, dtype=int)
    for symbols, count in by_loop.items():
        expected[np.dot(symbols, places)] = count
    assert model.counts.tolist() == expected.tolist()


def chance_by_loop(pairs: Counter, context: tuple[int, ...], symbol: int, bins: int) -> float:
    """The same recursion on tuples; each strength by the likelihood of the symbols drawn one by one from an urn."""
    if not context:
        return 1 / bins

    def lower(held: tuple[int, ...], drawn: int) -> float:
        return chance_by_loop(pairs, held[1:], drawn, bins)

    counts: Counter = Counter()
    for (held, drawn), count in pairs.items():
        counts[held[len(held) - len(context) :], drawn] += count

    def likelihood(strength: float) -> float:
        total, urns = 0.0, Counter()
        for (held, drawn), count in sorted(counts.items()):
            for _ in range(count):
                total += math.log(urns[held, drawn] + strength * lower(held, drawn))
                total -= math.log(urns[held] + strength)
                urns[held, drawn] += 1
                urns[held] += 1
        return total

    strength = max((2.0**power for power in range(21)), key=likelihood)
    seen = sum(counts[context, other] for other in range(bins))
    return (counts[context, symbol] + strength * lower(context, symbol)) / (seen + strength)


def test_backed_off_chances_are_those_of_a_plain_loop():
    rng = np.random.default_rng(3)
    pairs = rng.integers(0, 9, (4, 2)) * rng.integers(0, 2, (4, 1))  # two orders, two symbols; some contexts unseen
    pairs[0] = (9, 0)
    named = Counter({((row // 2, row % 2), symbol): int(pairs[row, symbol]) for row in range(4) for symbol in range(2)})
    found = backed_off(pairs, 2)
    for row in range(4):
        for symbol in range(2):
            expected = chance_by_loop(named, (row // 2, row % 2), symbol, 2)
            assert found[row, symbol] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("order", "bins"), [(1, 5), (3, 3), (5, 2)])
def test_chances_sum_to_one_and_none_is_zero(order, bins):
    pairs = np.random.default_rng(0).poisson(0.7, (bins**order, bins))
    chances = backed_off(pairs, order)
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-12)
    assert (chances > 0).all()


def test_a_context_never_seen_has_the_chances_of_the_order_below():
    pairs = np.random.default_rng(1).poisson(20, (9, 3))
    pairs[:, 0] += 3 * np.arange(9)
    pairs[7] = 0
    lower = backed_off(pairs.reshape(3, 3, 3).sum(0), 1)
    np.testing.assert_allclose(backed_off(pairs, 2)[7], lower[7 % 3], atol=1e-12)


def test_an_order_that_tells_nothing_fades_out_and_one_that_does_stays():
    rng = np.random.default_rng(2)
    silent, telling = (rng.multinomial(200, chances, 3) for chances in ((1 / 3,) * 3, (0.6, 0.3, 0.1)))
    assert np.abs(backed_off(silent, 1) - 1 / 3).max() < 0.02
    turned = np.stack([np.roll(row, place) for place, row in enumerate(telling)])
    assert np.abs(backed_off(turned, 1) - turned / 200).max() < 0.02


def test_bins_hold_as_many_outcomes_each():
    outcomes = np.random.default_rng(0).standard_normal(503)
    sizes = np.bincount(np.searchsorted(edges(outcomes, 5), outcomes))
    assert sizes.sum() == 503
    assert sizes.max() - sizes.min() <= 1


def test_quantiles_are_those_of_the_outcomes_weighted_by_their_bin():
    outcomes = np.sort(np.random.default_rng(0).standard_t(4, 5000))
    chances = np.array([[0.5, 0.2, 0.1, 0.1, 0.1], [0.2, 0.2, 0.2, 0.2, 0.2], [0.02, 0.08, 0.1, 0.7, 0.1]])
    found = mixed_quantiles(outcomes, chances)
    symbols = np.searchsorted(edges(outcomes, 5), outcomes)
    for row, quantiles in zip(chances, found, strict=True):
        below = np.cumsum(row[symbols] / np.bincount(symbols)[symbols])
        np.testing.assert_allclose(below[np.searchsorted(outcomes, quantiles)], LEVELS, atol=1e-3)
    np.testing.assert_allclose(found[1], np.quantile(outcomes, LEVELS), rtol=1e-12)
    assert (np.diff(found) > 0).all()


def alternating(count: int, seed: int) -> np.ndarray:
    """Nearly always the sign of two sessions ago, turned round: the last sign tells nothing, the one before it all."""
    rng = np.random.default_rng(seed)
    signs = [1.0, 1.0]
    for _ in range(count - 2):
        signs.append(-signs[-2] if rng.random() < 0.95 else signs[-2])
    return 0.01 * np.array(signs) * (1 + 0.1 * rng.standard_normal(count))


def test_a_rule_of_two_sessions_is_found_by_the_second_order_and_not_by_the_first():
    train, test = sample_of(alternating(800, 0)), sample_of(alternating(400, 1))
    outcome = np.sign(test.windows.targets[test.origins, 0])
    hits = {n: np.mean(np.sign(median(estimated(train, order=n, bins=2), test)) == outcome) for n in (1, 2, 4)}
    assert hits[1] < 0.6
    assert hits[2] > 0.9
    assert hits[4] > 0.9  # orders that add nothing take nothing away


def test_on_noise_every_context_is_answered_nearly_alike():
    model = estimated(sample_of(noise(3000)), order=5, bins=3)
    apart = model.table - model.table.mean(0)
    assert apart.abs().max() < 0.1 * model.table[:, 0].std(dim=-1).mean()


def test_the_share_of_contexts_never_seen_is_that_of_a_plain_loop():
    train, test = sample_of(noise(150)), sample_of(noise(120, seed=1))
    model = estimated(train, order=4, bins=3)
    seen, asked = contexts_by_loop(model, train), contexts_by_loop(model, test)
    expected = []
    for order in range(1, 5):
        known = {symbols[-order:] for symbols in seen}
        expected.append(np.mean([symbols[-order:] not in known for symbols in asked]))
    assert model.unseen([test]) == pytest.approx(expected)
    assert model.unseen([train]) == (0, 0, 0, 0)
    assert list(expected) == sorted(expected)
    assert 0.1 < expected[-1] < 1


def test_several_symbols_are_counted_together():
    one, other = sample_of(noise(300)), sample_of(3 * noise(200, seed=1))
    both = estimated(one, other)
    assert int(both.counts.sum()) == len(one.origins) + len(other.origins)
    by_loop = Counter(contexts_by_loop(both, one)) + Counter(contexts_by_loop(both, other))
    assert sorted(by_loop.values()) == sorted(count for count in both.counts.tolist() if count)


def test_quantiles_rise_with_the_level_and_grow_with_the_context():
    sample = sample_of(noise())
    model = estimated(sample, order=3)
    contexts = torch.from_numpy(sample.windows.contexts(sample.origins))
    with torch.inference_mode():
        quantiles, larger = model(contexts)[0], model(4 * contexts)[0]
    assert quantiles.shape == (len(contexts), HORIZON, len(LEVELS))
    assert (quantiles.diff(dim=-1) >= 0).all()
    torch.testing.assert_close(larger, 4 * quantiles, rtol=1e-4, atol=0)  # the variance has a floor


@pytest.mark.parametrize(("count", "length"), [(1, 24), (9, 24), (9, 13), (2, 4)])
def test_onnx_answers_as_torch_does(count, length):
    sample = sample_of(noise())
    model = estimated(sample, order=3, bins=4)
    contexts = torch.from_numpy(sample.windows.contexts(sample.origins[-9:]))
    session = onnxruntime.InferenceSession(to_onnx(model, contexts[:1]), providers=["CPUExecutionProvider"])
    asked = contexts[:count, -length:].contiguous()
    (found,) = session.run(None, {"context": asked.numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(found, model(asked)[0].numpy(), rtol=1e-5, atol=1e-8)


def test_what_comes_after_the_last_origin_s_target_moves_no_bit():
    returns = noise()
    other = returns.copy()
    last = int(sample_of(returns, until=300).origins[-1])
    other[last + HORIZON + 1 :] = 5 * noise(len(returns), seed=9)[last + HORIZON + 1 :]
    one, two = (estimated(sample_of(values, until=300)).state_dict() for values in (returns, other))
    assert all(torch.equal(one[name], two[name]) for name in one)
    other[last + HORIZON] += 0.05  # the last thing that it does read
    two = estimated(sample_of(other, until=300)).state_dict()
    assert not all(torch.equal(one[name], two[name]) for name in one)


def test_a_table_that_cannot_be_counted_is_refused():
    with pytest.raises(ValidationError, match=r"bins \*\* order is 15625"):
        NgramFamily(name="chain", order=6, bins=5)


def test_it_reads_one_session_more_than_its_order():
    family = NgramFamily(name="chain", order=3)
    model = estimated(sample_of(noise()), order=3)
    context = torch.from_numpy(noise(8).astype(np.float32)).view(1, -1, 1)
    assert model(context[:, -family.reach :])[0].isfinite().all()

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper
from small_artifact import HORIZON, WINDOW, graph, manifest_of, small_artifact, table

from forecaster.artifact import Artifact, golden_context
from forecaster.components import Component
from forecaster.contract import LEVELS
from forecaster.densities import log_density
from forecaster.errors import ArtifactCorrupt, ContractMismatch, OutputInvalid
from forecaster.runtime import Runtime

CONTEXTS = np.random.default_rng(0).normal(0, 0.01, (150, 8, 2)).astype(np.float32)


def sealed(model: bytes, **facts) -> Artifact:
    return Artifact.seal(manifest_of(model, **facts), model)


def test_it_answers_what_the_graph_says():
    found = Runtime(small_artifact()).quantiles(CONTEXTS)
    expected = np.abs(CONTEXTS).mean(axis=(1, 2))[:, None, None] * table()
    assert found.shape == (150, HORIZON, len(LEVELS))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 129])
def test_a_row_is_answered_alike_in_any_batch(count):
    runtime = Runtime(small_artifact())
    assert (runtime.quantiles(CONTEXTS[:count]) == runtime.quantiles(CONTEXTS)[:count]).all()


@pytest.mark.parametrize("batch", [1, 64])
def test_one_that_is_only_ever_asked_about_one_context_answers_the_same_bits(batch):
    any_number, single = Runtime(small_artifact()), Runtime(small_artifact(), single=True)
    for start in range(0, 64, batch):
        alike = any_number.quantiles(CONTEXTS[start : start + batch])
        assert (alike == np.concatenate([single.quantiles(row[None]) for row in CONTEXTS[start : start + batch]])).all()
    with pytest.raises(ContractMismatch, match="takes"):
        single.quantiles(CONTEXTS[:2])


def test_an_artifact_is_never_loaded_when_its_graph_is_garbage():
    with pytest.raises(ArtifactCorrupt, match="does not load"):
        Runtime(sealed(b"garbage"))


@pytest.mark.parametrize("place", ["table.bin", "../{here}/table.bin", "../../../../../etc/passwd", "/etc/passwd"])
def test_fault_26_a_graph_whose_numbers_lie_in_a_file_is_refused_even_where_they_are_right(
    tmp_path, monkeypatch, place
):
    monkeypatch.chdir(tmp_path)
    model = onnx.load_from_string(graph(table()))
    (numbers,) = (one for one in model.graph.initializer if one.name == "table")
    (tmp_path / "table.bin").write_bytes(numbers.raw_data)
    location = place.format(here=tmp_path.name)
    external_data_helper.set_external_data(numbers, location, offset=0, length=len(numbers.raw_data))
    numbers.ClearField("raw_data")
    numbers.data_location = TensorProto.EXTERNAL
    with pytest.raises(ArtifactCorrupt, match="does not load"):
        Runtime(sealed(model.SerializeToString()))


def test_another_golden_forecast_is_refused():
    right = np.abs(golden_context(WINDOW)).mean() * table()
    Runtime(sealed(graph(table()), golden=right * (1 + 1e-6)))
    with pytest.raises(ArtifactCorrupt, match="golden forecast is off by 1"):
        Runtime(sealed(graph(table()), golden=right + 1e-4))


def test_a_golden_forecast_of_another_shape_is_refused():
    right = np.abs(golden_context(WINDOW)).mean() * table()
    with pytest.raises(ContractMismatch, match=r"\[2, 25\], found \[1"):
        Runtime(sealed(graph(table()), golden=right[:1]))


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_graph_that_emits_no_number_is_refused_when_it_is_loaded(broken):
    quantiles = table()
    quantiles[1, 3] = broken
    with pytest.raises(OutputInvalid, match="not finite"):
        Runtime(sealed(graph(quantiles)))


def test_a_graph_whose_quantiles_cross_is_refused_when_it_is_loaded():
    with pytest.raises(OutputInvalid, match="cross"):
        Runtime(sealed(graph(table()[:, ::-1])))


def test_an_answer_that_is_no_number_is_refused_later_too():
    runtime = Runtime(small_artifact())
    with pytest.raises(OutputInvalid, match="not finite"):
        runtime.quantiles(np.full((1, 8, 2), np.nan, dtype=np.float32))
    spoilt = CONTEXTS.copy()
    spoilt[149, 0, 0] = np.inf
    with pytest.raises(OutputInvalid, match="not finite"):
        runtime.quantiles(spoilt)


def test_an_answer_whose_quantiles_cross_is_refused_later_too():
    # Fine where the mean of the context is positive, as the golden one is; upside down where it is negative.
    assert golden_context(WINDOW).mean() > 0
    model = graph(table(), operator="Identity")
    runtime = Runtime(sealed(model, golden=golden_context(WINDOW).astype(float).mean() * table()))
    runtime.quantiles(np.full((1, 8, 2), 0.01, dtype=np.float32))
    with pytest.raises(OutputInvalid, match="cross"):
        runtime.quantiles(np.full((1, 8, 2), -0.01, dtype=np.float32))


@pytest.mark.parametrize(
    ("model", "facts", "expected"),
    [
        (graph(table(), channels=3), {}, "context"),
        (graph(table(), names=("x", "quantiles")), {}, "context"),
        (graph(table(), names=("context", "y")), {}, "outputs"),
        (graph(table()), {"density": (Component(distribution="gaussian"),)}, "outputs"),
        (graph(table()), {"levels": LEVELS[:-1]}, "quantile levels"),
        (graph(table()), {"levels": (*LEVELS[:-1], 0.999)}, "quantile levels"),
    ],
)
def test_a_graph_that_breaks_the_contract_is_refused(model, facts, expected):
    with pytest.raises(ContractMismatch, match=expected):
        Runtime(sealed(model, **facts))


@pytest.mark.parametrize("shape", [(1, 8, 3), (1, 8), (8, 2)])
def test_a_context_of_another_shape_is_refused(shape):
    with pytest.raises(ContractMismatch):
        Runtime(small_artifact()).quantiles(np.zeros(shape, dtype=np.float32))


def test_a_graph_for_another_horizon_is_refused():
    longer = np.vstack((table(), 2 * table()[-1:]))
    with pytest.raises(ContractMismatch):
        Runtime(sealed(graph(longer), golden=np.abs(golden_context(WINDOW)).mean() * table()))


def test_a_golden_forecast_for_another_horizon_than_the_targets_is_refused():
    longer = np.vstack((table(), 2 * table()[-1:]))
    with pytest.raises((ContractMismatch, ArtifactCorrupt)):
        Runtime(sealed(graph(longer), golden=np.abs(golden_context(WINDOW)).mean() * longer))


NORMAL = np.array([[0.0, 1.0], [0.0, 2.0]])  # location and scale [H, P], in units of the context's size
GAUSSIAN = (Component(distribution="gaussian"),)


def test_it_answers_the_density_that_the_graph_says():
    runtime = Runtime(sealed(graph(table(), parameters=NORMAL), density=GAUSSIAN))
    quantiles, parameters = runtime.distributions(CONTEXTS)
    size = np.abs(CONTEXTS).mean(axis=(1, 2))[:, None]
    assert (quantiles == runtime.quantiles(CONTEXTS)).all()
    assert parameters is not None
    assert parameters.dtype == np.float64
    np.testing.assert_allclose(parameters, size[..., None] * NORMAL, rtol=1e-5)
    found = log_density(GAUSSIAN, parameters, np.zeros((150, HORIZON)))
    np.testing.assert_allclose(found, -np.log(size * NORMAL[:, 1] * np.sqrt(2 * np.pi)), rtol=1e-5)


def test_an_artifact_without_a_density_has_no_parameters():
    quantiles, parameters = Runtime(small_artifact()).distributions(CONTEXTS)
    assert parameters is None
    assert (quantiles == Runtime(small_artifact()).quantiles(CONTEXTS)).all()


def test_parameters_of_another_density_are_refused():
    more = GAUSSIAN * 2
    runtime = Runtime(sealed(graph(table(), parameters=NORMAL), density=more))
    with pytest.raises(ContractMismatch, match="parameters"):
        runtime.distributions(CONTEXTS)


def test_a_parameter_that_is_no_number_is_refused():
    broken = np.where(NORMAL == 2.0, np.inf, NORMAL)
    runtime = Runtime(sealed(graph(table(), parameters=broken), density=GAUSSIAN))
    with pytest.raises(OutputInvalid, match="not finite"):
        runtime.distributions(CONTEXTS)

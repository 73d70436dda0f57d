import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_artifact import WINDOW, graph, manifest_of, small_artifact, table
from small_market import FAMILIES, ONE_OF_EACH, Market, trained

from forecaster.artifact import Artifact, Manifest, code_digest, golden_context, serialise
from forecaster.errors import ArtifactCorrupt

GOOD = small_artifact()
TEXT = serialise(GOOD.manifest)


ELSEWHERE = """
import sys
sys.path[:0] = [{folder!r}]
import torch
from small_market import FAMILIES, made_up, trained
torch.set_num_threads(1)
market = made_up()
family = next(family for family in FAMILIES if family.name == {name!r})
print(trained(family, market, market.windows, market.windows.span(None, None)[:60]).digest)
"""


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """Another process, folder, hash seed, time zone and copy of the code; it works while the other tests run."""
    folder = tmp_path_factory.mktemp("elsewhere")
    here = Path(__file__)
    shutil.copytree(here.parents[2] / "forecaster", folder / "forecaster", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(here.with_name("small_market.py"), folder)
    code = ELSEWHERE.format(folder=str(folder), name="gru")
    environment = {**os.environ, "PYTHONHASHSEED": "123", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=folder, **pipes) as process:
        yield process
        process.kill()


def test_what_was_sealed_is_verified():
    assert Artifact.verify(GOOD.digest, TEXT, GOOD.model) == GOOD
    assert GOOD.kilobytes == len(GOOD.model) / 1024


@given(st.integers(0, len(GOOD.model) - 1), st.integers(1, 255))
def test_a_changed_byte_of_the_model_is_refused(place, mask):
    spoilt = bytearray(GOOD.model)
    spoilt[place] ^= mask
    with pytest.raises(ArtifactCorrupt, match="model's bytes"):
        Artifact.verify(GOOD.digest, TEXT, bytes(spoilt))


@settings(max_examples=50)
@given(st.integers(0, len(TEXT) - 1), st.characters(codec="utf-8"))
def test_a_changed_character_of_the_manifest_is_refused(place, character):
    spoilt = TEXT[:place] + character + TEXT[place + 1 :]
    if spoilt != TEXT:
        with pytest.raises(ArtifactCorrupt, match="manifest does not match"):
            Artifact.verify(GOOD.digest, spoilt, GOOD.model)


@pytest.mark.parametrize("harm", [b"", GOOD.model[:-1], GOOD.model + b"\0"])
def test_a_model_of_another_length_is_refused(harm):
    with pytest.raises(ArtifactCorrupt):
        Artifact.verify(GOOD.digest, TEXT, harm)


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        "{}",
        TEXT.replace('"epochs":0', '"epochs":"many"'),
        TEXT.replace('"epochs":0', '"epochs":0,"surprise":1'),
        TEXT.replace('"symbols":["T"]', '"symbols":["../T"]'),
    ],
)
def test_a_manifest_that_is_none_is_refused_even_under_its_own_digest(text):
    assert text != TEXT
    with pytest.raises(ArtifactCorrupt, match="manifest is not valid"):
        Artifact.verify(hashlib.sha256(text.encode()).hexdigest(), text, GOOD.model)


def test_a_manifest_cannot_be_sealed_with_another_graph():
    with pytest.raises(ArtifactCorrupt, match="model's bytes"):
        Artifact.seal(GOOD.manifest, graph(2 * table()))


def test_the_manifest_survives_its_text():
    again = Manifest.model_validate_json(TEXT)
    assert again == GOOD.manifest
    assert serialise(again) == TEXT
    assert list(json.loads(TEXT)) == sorted(json.loads(TEXT))


def test_the_digest_does_not_depend_on_the_order_of_a_configuration():
    one, other = (
        Artifact.seal(manifest_of(GOOD.model, config=config), GOOD.model).digest
        for config in ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1})
    )
    assert one == other


def test_each_field_of_the_manifest_moves_the_digest():
    other = {"name": "x", "epochs": 1, "snapshot": "6" * 64, "code": "d" * 64, "warm_up": 2, "config": {"seed": 1}}
    digests = {
        Artifact.seal(manifest_of(GOOD.model, **{key: value}), GOOD.model).digest for key, value in other.items()
    }
    assert len({GOOD.digest, *digests}) == len(other) + 1


def test_the_golden_context_is_the_same_everywhere():
    first = golden_context(WINDOW)
    assert first.shape == (1, 8, 2)
    assert first.dtype == np.float32
    np.testing.assert_allclose(first[0, 0], [0.0, 0.01 * math.sin(1.7 + 0.3 * math.sin(0.13))], atol=1e-8)
    assert 0.003 < np.abs(first).mean() < 0.01


@pytest.fixture(scope="module", params=ONE_OF_EACH, ids=lambda family: family.name)
def exported(request: pytest.FixtureRequest, synthetic: Market) -> Artifact:
    windows = synthetic.windows
    return trained(request.param, synthetic, windows, windows.span(None, None)[:60])


def test_a_stored_model_is_one_onnx_graph_and_a_manifest_of_json(exported):
    model = onnx.load_from_string(exported.model)
    onnx.checker.check_model(model)
    tensors = [*model.graph.initializer, *(a.t for node in model.graph.node for a in node.attribute if a.HasField("t"))]
    assert [tensor.name for tensor in tensors if tensor.data_location == onnx.TensorProto.EXTERNAL] == []
    assert {domain.domain for domain in model.opset_import} == {""}  # no operator of anybody's own
    assert not zipfile.is_zipfile(BytesIO(exported.model))  # torch.save writes one, with a pickle inside
    assert isinstance(json.loads(serialise(exported.manifest)), dict)
    assert {type(value) for value in vars(exported).values()} == {str, Manifest, bytes}


def test_a_stored_model_tells_nothing_of_the_machine(exported):
    for place in (str(Path.cwd()), str(Path.home()), os.uname().nodename):
        if len(place) > 5:
            assert place.encode() not in exported.model
            assert place not in serialise(exported.manifest)


def test_the_manifest_states_the_span_that_was_read(exported, synthetic):
    windows, manifest = synthetic.windows, exported.manifest
    train = windows.span(None, None)[:60]
    assert manifest.trained_from == windows.sessions[train[0]].item()
    assert manifest.trained_until == windows.sessions[train[-1] + synthetic.target.horizon].item()
    assert manifest.chosen_until is None
    assert manifest.code == code_digest()
    assert manifest.warm_up == 1


def test_the_digest_depends_on_neither_time_nor_place(synthetic, elsewhere):
    family = next(family for family in FAMILIES if family.name == "gru")
    windows = synthetic.windows
    here = trained(family, synthetic, windows, windows.span(None, None)[:60])
    told, said = elsewhere.communicate(timeout=60)
    assert elsewhere.returncode == 0, said
    assert told.split()[-1] == here.digest

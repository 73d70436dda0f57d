"""The names of KServe's open inference protocol (v2) for health and metadata; forecasts themselves are under /v1."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request

from forecaster import __version__
from forecaster.components import width
from serving.engine import ChampionEngine, Loaded
from serving.problems import documented
from serving.routes import TARGET, Engine, operation
from serving.schemas.models import IsReady, Live, ModelMetadata, ModelReady, Server, Tensor

router = APIRouter(tags=["kserve"])

Name = Annotated[str, Path(pattern=TARGET, description="Key of a target.", examples=["^IXIC-return-5"])]
Number = Annotated[str, Path(pattern="^[1-9][0-9]{0,5}$", description="Of the target's champions.", examples=["3"])]


@router.get("/v2", summary="What this is", responses=documented(public=True))
async def server() -> Server:
    """Name and version; none of the protocol's extensions."""
    return Server(name="forecaster", version=__version__, extensions=[])


@router.get("/v2/health/live", summary="Does the process run?", responses=documented(public=True))
async def live() -> Live:
    """As /healthz."""
    return Live(live=True)


@router.get("/v2/health/ready", summary="Can it answer?", responses=documented(503, public=True))
async def ready(request: Request, engine: Engine) -> IsReady:
    """As /readyz."""
    await operation.ready(request, engine)
    return IsReady(ready=True)


@router.get("/v2/models/{name}", summary="A loaded model's inputs and outputs", responses=documented(404, 422))
async def metadata(name: Name, engine: Engine) -> ModelMetadata:
    """Of the champion of a target."""
    return _metadata(engine, engine.in_charge(target=name))


@router.get("/v2/models/{name}/ready", summary="Is a model loaded?", responses=documented(404, 422))
async def model_ready(name: Name, engine: Engine) -> ModelReady:
    """Whether the target has a champion that answers."""
    engine.in_charge(target=name)
    return ModelReady(name=name, ready=True)


@router.get(
    "/v2/models/{name}/versions/{version}",
    summary="A loaded version's inputs and outputs",
    responses=documented(404, 422),
)
async def version(name: Name, version: Number, engine: Engine) -> ModelMetadata:
    """Of the champion in charge, or of the one before it."""
    loaded = [engine.in_charge(target=name), engine.before(name)]
    found = next((one for one in loaded if one is not None and str(one.champion.version) == version), None)
    if found is None:
        raise HTTPException(404, "this version is not loaded; /v2/models/{name} lists those that are")
    return _metadata(engine, found)


def _metadata(engine: ChampionEngine, shown: Loaded) -> ModelMetadata:
    target, manifest = shown.champion.target, shown.runtime.manifest
    loaded = [engine.in_charge(target=target), engine.before(target)]
    horizon, levels, density = manifest.target.horizon, len(manifest.levels), manifest.density
    outputs = [Tensor(name="quantiles", datatype="FP32", shape=[-1, horizon, levels])]
    if density:
        outputs.append(Tensor(name="parameters", datatype="FP32", shape=[-1, horizon, width(density)]))
    context = [-1, manifest.window.context, len(manifest.window.channels)]
    return ModelMetadata(
        name=target,
        versions=[str(one.champion.version) for one in loaded if one is not None],
        platform="onnx_onnxv1",
        inputs=[Tensor(name="context", datatype="FP32", shape=context)],
        outputs=outputs,
    )

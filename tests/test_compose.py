"""The deployment files: read, not run. There may be no Docker where the tests are."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.config import demo_path, load_config
from serving.settings import Settings

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
ONE_SHOT = {"worker"}

service = pytest.mark.parametrize("name", SERVICES)
dockerfile = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)


def test_services() -> None:
    assert set(SERVICES) == {"database", "mlflow", "worker", "api"}


@service
def test_says_when_it_is_well_or_ends(name: str) -> None:
    one_shot = SERVICES[name]["restart"] == "no"
    assert one_shot == (name in ONE_SHOT)
    assert one_shot != ("healthcheck" in SERVICES[name])


@service
def test_is_hardened(name: str) -> None:
    one = SERVICES[name]
    uid, gid = one["user"].split(":")
    assert int(uid) > 0
    assert int(gid) > 0
    assert one["read_only"] is True
    assert "/tmp" in one["tmpfs"]  # noqa: S108  # a mount point in a container
    assert one["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in one["security_opt"]
    assert re.fullmatch(r"\d+[mg]", one["mem_limit"])
    assert not {"privileged", "cap_add", "network_mode", "pid"} & set(one)


def test_one_port_on_this_host_alone() -> None:
    assert {name: one["ports"] for name, one in SERVICES.items() if "ports" in one} == {"api": ["127.0.0.1:8000:8000"]}
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert [name for name, one in SERVICES.items() if "outside" in one["networks"]] == ["api"]


@service
def test_writes_to_named_volumes_only(name: str) -> None:
    mounts = [mount.split(":") for mount in SERVICES[name]["volumes"]]
    for source, _target, *mode in mounts:
        if source in COMPOSE["volumes"]:
            assert not mode
        else:
            assert (ROOT / source).is_file()
            assert mode == ["ro"]


@service
def test_waits_for_what_is_well(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[needed]


@service
def test_environment_names_exist(name: str) -> None:
    known = set(re.findall(r'envvar="(\w+)"', (ROOT / "pipelines" / "options.py").read_text("utf-8")))
    known |= {f"{Settings.model_config['env_prefix']}{field}".upper() for field in Settings.model_fields}
    if name == "database":
        known = {"POSTGRES_PASSWORD_FILE"}
    if name == "mlflow":
        spec = find_spec("mlflow")
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).with_name("environment_variables.py").read_text("utf-8")
        known = set(re.findall(r"^(MLFLOW_\w+) = ", source, re.MULTILINE))
    assert set(SERVICES[name]["environment"]) <= known


def test_environment_of_the_example_exists() -> None:
    text = (ROOT / ".env.example").read_text("utf-8")
    names = set(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE))
    known = {
        *SERVICES["worker"]["environment"],
        *SERVICES["api"]["environment"],
        "FORECASTER_REFRESH_SECONDS",
        "FORECASTER_REQUIRE_KEY",
        "FORECASTER_LOG",
        "FORECASTER_WEBHOOK_URL",
        "FORECASTER_WEBHOOK_SECRET",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    }
    assert names == {*known, "TORCH_INDEX"}
    assert not re.search(r"://[^/@\s]*:[^/@\s]*@", text)


def test_no_secret_is_written_down() -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    assert not re.search(r"://[^/@\s]*:[^/@\s]*@", text), "a URL with a password"
    for one in SERVICES.values():
        for name, value in one["environment"].items():
            if re.search("PASS|SECRET|TOKEN|KEY", name):
                assert name.endswith("_FILE")
                assert value.startswith("/run/secrets/")
    ignored = (ROOT / "docker" / ".gitignore").read_text("utf-8").split()
    for secret in COMPOSE["secrets"].values():
        assert set(secret) == {"file"}
        assert Path(secret["file"]).parent == Path("docker/secrets")
    assert "/secrets/" in ignored


def test_each_service_reads_its_own_password() -> None:
    for name, one in SERVICES.items():
        if name != "database":
            (secret,) = one["secrets"]
            assert secret["target"] == "database-password"
            role = {"worker": "forecaster"}.get(name, name)
            assert secret["source"] == role
    roles = re.findall(r"CREATE ROLE (\w+) LOGIN", (ROOT / "docker" / "database.sh").read_text("utf-8"))
    assert {*roles, "postgres"} == set(SERVICES["database"]["secrets"]) == set(COMPOSE["secrets"])


def test_every_dockerfile_is_there_and_used() -> None:
    named = {one["build"]["dockerfile"] for one in SERVICES.values() if "build" in one}
    assert named == {path.relative_to(ROOT).as_posix() for path in DOCKERFILES}


@dockerfile
def test_image_is_pinned_and_runs_as_nobody_special(path: Path) -> None:
    text = path.read_text("utf-8")
    users = re.findall(r"^USER (\d+):(\d+)$", text, re.MULTILINE)
    name = path.name.removesuffix(".Dockerfile")
    assert [":".join(user) for user in users] == [SERVICES[name]["user"]]
    assert "COPY constraints.txt" in text
    for install in _installs(text):
        assert "-c constraints.txt" in install or "--no-deps" in install
    for source in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", text, re.MULTILINE):
        for one in source.split():
            assert f"!{one}" in (ROOT / ".dockerignore").read_text("utf-8").splitlines()


def test_api_image_has_what_serving_imports_and_no_torch() -> None:
    first, *others = _installs((ROOT / "docker" / "api.Dockerfile").read_text("utf-8"))
    assert others == ["--no-deps ."]
    installed = {word.strip('"').partition("[")[0] for word in first.removeprefix("-c constraints.txt").split()}
    assert not installed & {"torch", "pytorch-lightning", "mlflow", "pandas", "pyarrow", "arch", "scipy"}
    drivers = {"httptools", "plotly", "psycopg", "uvicorn", "uvloop"}  # loaded by name, not imported
    drivers.add("opentelemetry-exporter-otlp-proto-http")  # where traces are wanted
    assert installed - drivers == set(_imported_by_serving())


def test_versions_are_pinned() -> None:
    pinned = (ROOT / "constraints.txt").read_text("utf-8").lower().replace("_", "-")
    first = _installs((ROOT / "docker" / "api.Dockerfile").read_text("utf-8"))[0]
    for word in first.removeprefix("-c constraints.txt").split():
        assert f"\n{word.strip(chr(34)).partition('[')[0]}==" in pinned


def test_commands_start_what_exists() -> None:
    assert SERVICES["worker"]["command"] == ["forecaster", "demo"]
    data = load_config(demo_path()).data
    assert data.bars.source == data.macro.source == "sample"  # the worker has no way out
    command = SERVICES["api"]["command"]
    assert command[:3] == ["python", "-m", "serving"]
    assert json.dumps(command) in (ROOT / "docker" / "api.Dockerfile").read_text("utf-8")
    assert find_spec("serving.__main__") is not None


def test_the_service_may_finish_before_it_is_killed() -> None:
    settings = Settings()
    assert float(SERVICES["api"]["stop_grace_period"].removesuffix("s")) > (
        settings.drain_seconds + settings.deadline_seconds
    )


def _installs(text: str) -> list[str]:
    """Arguments of every `pip install` of a Dockerfile."""
    joined = text.replace("\\\n", " ")
    return [" ".join(found.split()) for found in re.findall(r"pip install (.*?)(?:&&|$)", joined, re.MULTILINE)]


def _imported_by_serving() -> Iterator[str]:
    """Distributions that the modules a started service has loaded import themselves."""
    code = (
        "import json, sys, serving.app, forecaster.logs\n"
        "ours = [m for name, m in sys.modules.items() if name.split('.')[0] in ('forecaster', 'serving')]\n"
        "print(json.dumps([module.__file__ for module in ours]))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    distributions = packages_distributions()
    for file in json.loads(run.stdout):
        for node in ast.walk(ast.parse(Path(file).read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in {name.partition(".")[0] for name in names} - {"forecaster", "serving"}:
                if name not in sys.stdlib_module_names:
                    yield distributions[name][0].lower().replace("_", "-")

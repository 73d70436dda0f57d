"""The deployment files: read, not run. There may be no Docker where the tests are."""

import ast
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.reading import demo_path
from serving.settings import Settings

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
ONE_SHOT = {"migrate"}
WORKERS = ("worker", "worker-gpu")
OPTIONAL = {"fred", "webhook-url", "webhook-secret"}

service = pytest.mark.parametrize("name", SERVICES)
dockerfile = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)


def test_services() -> None:
    assert set(SERVICES) == {"database", "mlflow", "migrate", "worker", "worker-gpu", "api"}


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
    assert 0 < one["cpus"] <= 2
    assert one["pids_limit"] == 256
    assert not {"privileged", "cap_add", "network_mode", "pid"} & set(one)


def test_one_port_on_this_host_alone() -> None:
    assert {name: one["ports"] for name, one in SERVICES.items() if "ports" in one} == {"api": ["127.0.0.1:8000:8000"]}
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert [name for name, one in SERVICES.items() if "outside" in one["networks"]] == [*WORKERS, "api"]


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
        once = needed in ONE_SHOT
        assert how == {"condition": "service_completed_successfully" if once else "service_healthy"}
        assert once != ("healthcheck" in SERVICES[needed])


def test_whoever_needs_the_store_waits_for_its_migration() -> None:
    """Who has its URL."""
    needing = [name for name, one in SERVICES.items() if "FORECASTER_DATABASE_URL" in one["environment"]]
    assert needing == ["migrate", *WORKERS, "api"]
    for name in set(needing) - ONE_SHOT:
        assert "migrate" in SERVICES[name]["depends_on"]
    assert SERVICES["migrate"]["command"] == ["forecaster", "migrate"]


@pytest.mark.parametrize("name", WORKERS)
def test_there_can_be_several_workers(name: str) -> None:
    one = SERVICES[name]
    assert one["command"] == ["forecaster", "work"]
    assert not {"container_name", "hostname", "ports"} & set(one)
    assert one["configs"] == [{"source": "run", "target": one["environment"]["FORECASTER_RUN"]}]
    assert COMPOSE["configs"]["run"] == {"file": "${FORECASTER_RUN:-./pipelines/configs/demo.toml}"}
    assert one["volumes"] == SERVICES["migrate"]["volumes"] == ["worker:/var/lib/forecaster"]


@pytest.mark.parametrize("name", WORKERS)
def test_files_of_ones_own_are_mounted_where_a_worker_looks(name: str) -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    told = yaml.safe_load(text.replace("# - ./prices", "- ./prices"))["services"][name]["volumes"]
    assert told == [*SERVICES[name]["volumes"], "./prices:/prices:ro"]
    last = (ROOT / "docker" / "worker.Dockerfile").read_text("utf-8").rpartition("\nFROM ")[2]
    assert "WORKDIR" not in last  # so it starts in /, and `prices` is /prices


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_is_well_while_it_touches_its_file(name: str, tmp_path: Path) -> None:
    """The check itself, as the container runs it."""
    alive = tmp_path / "worker.alive"
    kind, *words = SERVICES[name]["healthcheck"]["test"]
    words = [word.replace("$$", "$").replace("/tmp/worker.alive", str(alive)) for word in words]  # noqa: S108
    assert kind == "CMD"
    assert str(alive) in words[-1]

    def well() -> bool:
        return subprocess.run(words, check=False, capture_output=True).returncode == 0

    assert not well()
    alive.touch()
    assert well()
    os.utime(alive, (time.time() - 300,) * 2)
    assert not well()


def test_a_gpu_is_asked_for_by_its_profile_only() -> None:
    assert {name: one["profiles"] for name, one in SERVICES.items() if "profiles" in one} == {"worker-gpu": ["gpu"]}
    assert [name for name, one in SERVICES.items() if "deploy" in one] == ["worker-gpu"]
    (device,) = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    indices = {name: SERVICES[name]["build"]["args"]["TORCH_INDEX"] for name in ("migrate", *WORKERS)}
    assert indices["worker"] == indices["migrate"] == "${TORCH_INDEX:-}"
    assert indices["worker-gpu"] == "${TORCH_INDEX_GPU:-}"


def test_compose_file_holds_against_its_schema(tmp_path: Path) -> None:
    command = [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
    assert subprocess.run([*command, ROOT / "docker-compose.yml"], check=False, capture_output=True).returncode == 0
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text((ROOT / "docker-compose.yml").read_text("utf-8").replace("mem_limit:", "memlimit:", 1))
    assert subprocess.run([*command, wrong], check=False, capture_output=True).returncode == 1


@service
def test_environment_names_exist(name: str) -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "pipelines").rglob("*.py"))
    known = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', source))
    known |= {f"{name}_FILE" for name in known}
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
        "FORECASTER_LEASE_SECONDS",
        "FORECASTER_LOG",
        "FORECASTER_WEBHOOK_URL",
        "FORECASTER_WEBHOOK_SECRET",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    }
    assert names == {*known, "TORCH_INDEX", "TORCH_INDEX_GPU"}
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
    for name, secret in COMPOSE["secrets"].items():
        assert set(secret) == {"file"}
        if name in OPTIONAL:
            assert re.fullmatch(r"\$\{[A-Z_]+_FILE:-/dev/null\}", secret["file"])
        else:
            assert Path(secret["file"]).parent == Path("docker/secrets")
    assert "/secrets/" in ignored


def test_each_service_reads_its_own_password() -> None:
    for name, one in SERVICES.items():
        if name != "database":
            secret, *others = one["secrets"]
            assert secret["target"] == "database-password"
            assert secret["source"] == ("forecaster" if name in {"migrate", *WORKERS} else name)
            assert set(others) == (OPTIONAL if name in WORKERS else set())
            told = {value for key, value in one["environment"].items() if key.endswith("_FILE")}
            assert told == {f"/run/secrets/{other}" for other in others}
    roles = re.findall(r"CREATE ROLE (\w+) LOGIN", (ROOT / "docker" / "database.sh").read_text("utf-8"))
    assert {*roles, "postgres"} == set(SERVICES["database"]["secrets"]) == set(COMPOSE["secrets"]) - OPTIONAL


def test_every_dockerfile_is_there_and_used() -> None:
    named = {one["build"]["dockerfile"] for one in SERVICES.values() if "build" in one}
    assert named == {path.relative_to(ROOT).as_posix() for path in DOCKERFILES}


@dockerfile
def test_hadolint_finds_nothing(path: Path) -> None:
    """Its rules, none left out: tags, apt, pip, ADD, users, folders, the shell of RUN."""
    hadolint = [Path(sys.executable).parent / "hadolint", "--no-color", path]
    found = subprocess.run(hadolint, check=False, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


def test_hadolint_finds_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(
        "FROM debian:latest\nRUN apt-get update && apt-get install curl && cd /srv\n"
        "ADD a /b\nWORKDIR srv/app\nCMD run it\nUSER root\n"
    )
    found = subprocess.run(
        [Path(sys.executable).parent / "hadolint", path], check=False, capture_output=True, text=True
    )
    rules = set(re.findall(r"DL\d+", found.stdout))
    assert {"DL3000", "DL3002", "DL3003", "DL3007", "DL3009", "DL3015", "DL3020", "DL3025"} <= rules


@dockerfile
def test_image_carries_no_secret_and_no_more_than_it_needs(path: Path) -> None:
    """What hadolint does not look at."""
    text = path.read_text("utf-8")
    for line in re.findall(r"^(?:ENV|ARG) .*(?:\\\n.*)*", text, re.MULTILINE):
        named = re.findall(r"(\w+)=", line)
        assert not [name for name in named if re.search("PASSWORD|SECRET|TOKEN|KEY", name)]
    assert len(re.findall(r"^FROM ", text, re.MULTILINE)) == 2  # what builds is not what runs
    assert "PIP_NO_CACHE_DIR=1" in text
    assert re.search(r"^ARG PYTHON=python:3\.\d+-slim-\w+$", text, re.MULTILINE)
    for source in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", text, re.MULTILINE):
        assert [one for one in source.split() if not (ROOT / one).exists()] == []


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
    assert json.dumps(SERVICES["worker"]["command"]) in (ROOT / "docker" / "worker.Dockerfile").read_text("utf-8")
    assert demo_path() == ROOT / "pipelines" / "configs" / "demo.toml"
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

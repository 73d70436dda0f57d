"""The examples for cron, systemd and Kubernetes: what they call exists, and they are as careful as the compose file."""

import configparser
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from pipelines.cli import app

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8")))
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))


def commands(line: str) -> list[str]:
    """What follows `forecaster` as a command in a line of cron."""
    return shlex.split(line.partition(" forecaster ")[2].partition(" >>")[0])


def require(words: list[str]) -> None:
    """The command line has such a command with such options."""
    name, *rest = words
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    options = {one for parameter in known[name].params for one in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= options


def workloads() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each pod and its one container."""
    for one in MANIFESTS:
        spec = one["spec"].get("jobTemplate", one).get("spec", {})
        if "template" in spec:
            pod = spec["template"]["spec"]
            (container,) = pod["containers"]
            yield pod, container


def test_cron_lines_have_a_time_and_call_what_exists():
    text = (DEPLOY / "crontab").read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#") and not re.match(r"\w+=", line)]
    assert len(lines) == 2
    for line in lines:
        assert re.match(r"([\d*,/-]+ ){5} ", line)
        assert "\\%" in line or "%" not in line  # a bare % ends a line of cron
    found = [commands(line) for line in lines]
    assert [words[0] for words in found] == ["catch-up", "backup"]
    for words in found:
        require(words)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_call_what_exists_without_rights(path):
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str
    unit.read(path)
    service = unit["Service"]
    assert service["User"] == "forecaster"
    assert (service["ProtectSystem"], service["NoNewPrivileges"]) == ("strict", "true")
    home = re.search(r"FORECASTER_HOME=(\S+)", service["Environment"])
    assert home is not None
    assert service["ReadWritePaths"] == home[1]
    calls = [service[key] for key in ("ExecStartPre", "ExecStart") if key in service]
    for call in calls:
        program, *words = shlex.split(call)
        assert program.endswith("/.venv/bin/forecaster")
        require(words)
    if systemd := shutil.which("systemd-analyze"):
        told = subprocess.run([systemd, "verify", path], capture_output=True, text=True, check=False).stderr
        assert not [line for line in told.splitlines() if path.name in line and "not executable" not in line]


def test_kubernetes_has_a_migration_a_clock_and_a_service():
    assert [one["kind"] for one in MANIFESTS] == ["PersistentVolumeClaim", "Job", "CronJob", "Deployment", "Service"]
    clock = next(one for one in MANIFESTS if one["kind"] == "CronJob")
    assert clock["spec"]["concurrencyPolicy"] == "Forbid"
    called = [container["args"] for _, container in workloads()]
    assert called[0] == COMPOSE["services"]["migrate"]["command"]
    assert called[2] == COMPOSE["services"]["api"]["command"][:-1]  # there it asks for keys
    for program, *words in called[:2]:
        assert program == "forecaster"
        require(words)
    service, deployment = MANIFESTS[-1], MANIFESTS[-2]
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]


def test_kubernetes_runs_as_nobody_special_and_writes_to_volumes_only():
    for pod, container in workloads():
        user = COMPOSE["services"]["worker"]["user"]
        context = pod["securityContext"]
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
        assert context["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        mine = container["securityContext"]
        assert (mine["readOnlyRootFilesystem"], mine["allowPrivilegeEscalation"]) == (True, False)
        assert mine["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]) == {"requests", "limits"}
        assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}
        paths = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"/tmp", "/var/lib/forecaster", "/run/secrets"} <= paths  # noqa: S108  # a mount point in a container
        given = {one["name"]: one["value"] for one in container["env"]}
        known = {**COMPOSE["services"]["worker"]["environment"], "FORECASTER_REQUIRE_KEY": "true"}
        assert set(given) <= set(known)
        assert not re.search(r":[^/@]+@", given["FORECASTER_DATABASE_URL"])


def test_kubernetes_asks_the_service_how_it_is():
    from serving.app import create_app
    from serving.settings import Settings

    (container,) = (one for _, one in workloads() if "livenessProbe" in one)
    routes = create_app(Settings()).openapi()["paths"]
    for probe in ("livenessProbe", "readinessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in routes
        assert {"containerPort": asked["port"]} in container["ports"]

"""Logs of processes of their own: one object a line, ids where the work is done, and nobody's secrets."""

import json
import os
import pty
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HEAD = """
import asyncio, logging, os, sys, threading
from forecaster import logs
from forecaster.errors import NoChampion
log = logging.getLogger("pipelines.work")
"""
START = "logs.start(os.environ, sys.stderr)\n"
SECRETS = {
    "FRED_API_KEY": "abcdefghijklmnopqrstuvwxyz012345",
    "FORECASTER_WEBHOOK_URL": "https://hooks.example/services/T0ken?sig=Signed",
    "FORECASTER_WEBHOOK_SECRET": 'quo"ted \\ and späced/é',
    "MLFLOW_TRACKING_PASSWORD": "ml-flow-password",
    "MLFLOW_TRACKING_URI": "https://me:tracking%40pw@mlflow.example",
    "FORECASTER_DATABASE_URL": "postgresql+psycopg://forecaster:data-base-pw@localhost/x",
    "PGPASSWORD": "pg-password",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20collected",
}
HIDDEN = (
    *("abcdefghijklmnopqrstuvwxyz012345", "T0ken", "Signed", "quo", "späced", "sp\\u00e4ced", "sp%C3%A4ced", "ml-flow"),
    *("tracking%40pw", "data-base-pw", "pg-password", "Bearer%20collected", "somebodys-pw"),
)


def process(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A process that logs; its stderr is a pipe."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("FORECASTER_")}
    return subprocess.run(
        [sys.executable, "-c", HEAD + dedent(code)],
        env={**ours, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def lines(code: str, **environment: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process(START + dedent(code), **environment).stderr.splitlines()]


def test_a_line_is_an_object_with_its_fields():
    before = datetime.now(UTC)
    (line,) = lines('log.info("fetched %s", "bars", extra={"subject": "^GSPC", "inserted": 3})')
    assert list(line) == ["time", "level", "logger", "message", "subject", "inserted"]
    assert list(line.values())[1:] == ["INFO", "pipelines.work", "fetched bars", "^GSPC", 3]
    assert line["time"].endswith("Z")
    assert abs((datetime.fromisoformat(line["time"]) - before).total_seconds()) < 3600


def test_what_is_no_text_and_what_has_several_lines_stays_one_line():
    code = 'import datetime\nlog.warning("a\\nb \\u2028", extra={"session": datetime.date(2018, 12, 3), "path": os})'
    (line,) = lines(code)
    assert line["message"] == "a\nb \u2028"
    assert line["session"] == "2018-12-03"
    assert lines('log.warning({"level": "low"})')[0]["message"] == "{'level': 'low'}"


def test_no_field_takes_the_place_of_ours():
    code = """
        with logs.bound(run="ours"):
            log.info("x", extra={"run": "theirs", "time": "theirs", "level": "theirs", "error": "theirs"})
            try:
                raise NoChampion("T")
            except NoChampion:
                log.exception("y", extra={"error": "theirs"})
    """
    first, second = lines(code)
    assert (first["run"], first["level"], first["error"]) == ("ours", "INFO", "theirs")
    assert first["time"] != "theirs"
    assert second["error"] == "NoChampion"


def test_ids_are_of_the_thread_and_the_task_that_bound_them():
    code = """
        def work(n):
            with logs.bound(run=f"r{n}"):
                barrier.wait()
                log.info("in", extra={"n": n})
                with logs.bound(session=f"s{n}"):
                    barrier.wait()
                    log.info("deeper", extra={"n": n})
                barrier.wait()
                log.info("in again", extra={"n": n})
            log.info("out", extra={"n": n})

        barrier = threading.Barrier(8)
        with logs.bound(run="the main thread's"):
            threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
            [one.start() for one in threads]
            [one.join() for one in threads]

        async def task(n):
            with logs.bound(run=f"r{n}"):
                await asyncio.sleep(0)
                log.info("in", extra={"n": n})

        async def tasks():
            await asyncio.gather(*(task(n) for n in range(8)))

        asyncio.run(tasks())
        try:
            with logs.bound(run="r"):
                1 / 0
        except ZeroDivisionError:
            log.info("out", extra={"n": 0})
    """
    found = lines(code)
    assert len(found) == 8 * 4 + 8 + 1
    for one in found:
        inside = one["message"] != "out"
        assert one.get("run") == (f"r{one['n']}" if inside else None)
        assert one.get("session") == (f"s{one['n']}" if one["message"] == "deeper" else None)


def test_an_exception_of_ours_is_its_line_and_any_other_has_its_trace():
    code = """
        try:
            raise NoChampion("T")
        except NoChampion:
            log.exception("the run failed")
        try:
            {}["nothing"]
        except KeyError:
            log.exception("the run broke")
    """
    ours, other = lines(code)
    assert (ours["error"], ours["problem"]) == (
        "NoChampion",
        "no champion for T yet; `forecaster demo` makes one, or in turn fetch, train, compare and promote",
    )
    assert "trace" not in ours
    assert (other["error"], other["problem"]) == ("KeyError", "'nothing'")
    assert other["trace"].startswith("Traceback (most recent call last):\n")
    assert not {"exc_info", "exc_text"} & {*ours, *other}


LEAKY = """
values = [os.environ[name] for name in %r if os.environ.get(name)]
from urllib.parse import quote, quote_plus, urlsplit
for value in values + %r:
    log.info("connecting with %%s", value, extra={"setting": value, "nested": {"deep": [value]}})
    log.info(quote(value, safe="") + quote_plus(value))
    parts = urlsplit(value)
    log.info("POST %%s?%%s HTTP/1.1", parts.path, parts.query)
    with logs.bound(run=value):
        try:
            try:
                raise ValueError(repr(value))
            except ValueError as error:
                raise RuntimeError(value) from error
        except RuntimeError:
            log.exception(value)
log.error("postgresql://u:somebodys-pw@h/db and mysql://u:somebodys-pw@h")
"""


@pytest.mark.parametrize("style", ["json", "text"])
def test_fault_38_no_secret_is_in_a_line_an_argument_a_field_or_a_trace(style):
    said = process(START + LEAKY % (list(SECRETS), []), FORECASTER_LOG=style, **SECRETS).stderr
    assert said.count("connecting with") == len(SECRETS)
    assert said.count("Traceback (most recent call last)") == 2 * len(SECRETS)
    assert [one for one in HIDDEN if one in said] == []
    assert "u:***@h/db" in said
    if style == "json":
        assert all(json.loads(line) for line in said.splitlines())


def test_fault_38_nor_one_from_a_file(tmp_path):
    named, values = {}, []
    for name in ("FRED_API_KEY", "FORECASTER_WEBHOOK_SECRET"):
        (tmp_path / name).write_text(f" {SECRETS[name]}\n")
        named[f"{name}_FILE"] = str(tmp_path / name)
        values.append(SECRETS[name])
    named["MLFLOW_TRACKING_TOKEN_FILE"] = str(tmp_path / "none")  # is for who needs it to complain of
    said = process(START + LEAKY % ([], values), **named).stderr
    assert said.count("connecting with") == 2
    assert [one for one in HIDDEN if one in said] == []


def test_fault_38_nor_what_a_client_logs_of_its_requests():
    code = """
        import requests
        logging.getLogger("urllib3").setLevel(logging.DEBUG)
        logging.getLogger().setLevel(logging.DEBUG)
        from http.server import BaseHTTPRequestHandler, HTTPServer
        class Quiet(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass
        server = HTTPServer(("127.0.0.1", 0), Quiet)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        import urllib.parse
        path = urllib.parse.urlsplit(os.environ["FORECASTER_WEBHOOK_URL"])
        requests.post(f"http://127.0.0.1:{server.server_port}{path.path}?{path.query}")
        requests.get(f"http://127.0.0.1:{server.server_port}/x", params={"api_key": os.environ["FRED_API_KEY"]})
    """
    found = [line["message"] for line in lines(code, **SECRETS) if line["logger"].startswith("urllib3")]
    assert len([one for one in found if "HTTP/1.1" in one]) == 2
    assert [one for one in HIDDEN if one in "".join(found)] == []


BREAKS = 'log.info("begun", extra={"n": 1})\ntry:\n    {}["nothing"]\nexcept KeyError:\n    log.exception("broke")\n'


def test_a_terminal_has_words_and_never_a_trace():
    reads, writes = pty.openpty()
    try:
        code = HEAD + START + BREAKS
        environment = {name: value for name, value in os.environ.items() if name != "FORECASTER_LOG"}
        subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, stderr=writes, check=True, timeout=120)
        said = os.read(reads, 65536).decode().splitlines()
    finally:
        os.close(reads)
        os.close(writes)
    assert said == [
        "INFO pipelines.work begun n=1",
        "ERROR pipelines.work broke error=KeyError problem='nothing'",
    ]


def test_words_can_be_asked_for_anywhere_and_so_can_json():
    said = process(START + BREAKS, FORECASTER_LOG="text").stderr.splitlines()
    assert said[:3] == [
        "INFO pipelines.work begun n=1",
        "ERROR pipelines.work broke error=KeyError problem='nothing'",
        "Traceback (most recent call last):",
    ]
    assert [one["message"] for one in lines(BREAKS, FORECASTER_LOG="json")] == ["begun", "broke"]


def test_another_style_is_refused():
    code = """
        from forecaster.errors import ConfigError
        try:
            logs.start(os.environ, sys.stderr)
        except ConfigError as error:
            print(error)
    """
    said = process(code, FORECASTER_LOG="loud").stdout
    assert said == "FORECASTER_LOG: 'loud' is no style; choose one of json, text\n"


def test_to_start_again_doubles_no_line_and_what_others_had_set_up_is_gone():
    code = "logging.basicConfig(format='%(message)s')\n" + START + START + "log.info('once')"
    assert len(process(code).stderr.splitlines()) == 1


def test_in_a_workflow_of_dbos_the_ids_are_there_and_its_own_lines_are_ours_in_form(tmp_path):
    code = """
        from dbos import DBOS, SetWorkflowID
        DBOS(config={"name": "tests", "application_version": "1", "system_database_url": os.environ["WHERE"]})

        @DBOS.step()
        def step(session):
            log.info("in a step")

        @DBOS.workflow()
        def workflow(session):
            with logs.bound(run=DBOS.workflow_id, session=session):
                step(session)
                log.info("after it")

        DBOS.launch()
        DBOS.register_queue("q")
        handles = []
        for session in ("2018-12-03", "2018-12-04", "2018-12-06"):
            with SetWorkflowID(f"retrain-{session}"):
                handles.append(DBOS.enqueue_workflow("q", workflow, session))
        [one.get_result() for one in handles]
        DBOS.destroy()
    """
    found = lines(code, WHERE=f"sqlite:///{tmp_path}/jobs.db")
    ours = [one for one in found if one["logger"] == "pipelines.work"]
    assert len(ours) == 6
    for one in ours:
        assert re.fullmatch(r"2018-12-0[346]", one["session"])
        assert one["run"] == f"retrain-{one['session']}"
    assert {one["session"] for one in ours} == {"2018-12-03", "2018-12-04", "2018-12-06"}
    assert [one for one in found if one["logger"] == "dbos"]

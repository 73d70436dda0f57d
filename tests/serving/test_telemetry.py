"""Traces of the real service at a real collector: there where they are asked for, and nobody's words in them."""

import os
import subprocess
import sys

import pytest
from collector import Collector
from live import ROOT, Live, free_port
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from small_store import small_artifact

from serving.tracing import ENDPOINT

TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRET = "hunter2-and-more"  # noqa: S105  # made up
SERVER = Span.SpanKind.SPAN_KIND_SERVER
ATTRIBUTES = {"url.scheme", "http.request.method", "network.protocol.version", "http.route",
              "http.response.status_code", "error.type", "code.function.name"}  # fmt: skip


@pytest.fixture
def collector(monkeypatch):
    with Collector() as found:
        monkeypatch.setenv(ENDPOINT, found.url)
        yield found


def asked(live: Live, **more: str) -> None:
    sent = {
        **more,
        "X-Key": SECRET,
        "User-Agent": SECRET,
        "Host": f"{SECRET}.example",
        "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
        "tracestate": f"vendor={SECRET}",
        "baggage": f"who={SECRET}",
    }
    for path in (
        "/v1/forecasts/%5EIXIC",  # from the book
        f"/v1/forecasts/%5EIXIC?horizon=1&api_key={SECRET}&{SECRET}=1",
        f"/v1/forecasts/{SECRET}/history",
        "/readyz",
        f"/{SECRET}/not/here?x={SECRET}",
    ):
        live.get(path, **sent)


def test_a_request_is_a_span_named_by_the_template_of_its_route(store, collector):
    store.issue(store.promote(small_artifact()))
    with Live(store.home) as live:
        asked(live)
        live.stop()
    ours = [span for span in collector.spans if span.trace_id.hex() == TRACE and span.kind == SERVER]
    assert sorted(span.name for span in ours) == [
        "GET",  # of no route
        "GET /readyz",
        "GET /v1/forecasts/{symbol}",
        "GET /v1/forecasts/{symbol}",
        "GET /v1/forecasts/{symbol}/history",
    ]
    status = {
        span.name: {one.key: one.value for one in span.attributes}["http.response.status_code"].int_value
        for span in ours
    }
    assert status["GET /readyz"] == 200
    assert status["GET"] == 404
    (service,) = {
        one.value.string_value
        for part in collector.resources
        for one in part.resource.attributes
        if one.key == "service.name"
    }
    assert service == "forecaster"
    assert {path for path, _ in collector.posts} == {"/v1/traces"}


def test_fault_38_nothing_that_a_caller_sent_is_in_a_span(store, collector):
    store.issue(store.promote(small_artifact()))
    with Live(store.home) as live:
        asked(live)
        asked(live, Authorization=f"Bearer {SECRET}")
        live.stop()
        log = live.log.read_text()
    assert len([span for span in collector.spans if span.kind == SERVER]) >= 10
    assert {one.key for span in collector.spans for one in span.attributes} <= ATTRIBUTES
    everything = b"".join(body for _, body in collector.posts)
    assert SECRET.encode() not in everything
    assert b"IXIC" not in everything
    assert SECRET not in log


def test_a_collector_that_is_away_holds_up_nobody(store, monkeypatch):
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{free_port()}")
    store.issue(store.promote(small_artifact()))
    with Live(store.home) as live:
        for _ in range(50):
            assert live.get("/v1/forecasts/%5EIXIC").status == 200
        live.stop()
        assert "draining" in live.log.read_text()


PROBE = """
import json, logging, sys
logging.basicConfig(format="%(levelname)s %(message)s")
{before}
from serving.app import create_app
app = create_app()
print(json.dumps([app._native_telemetry.enabled(), "opentelemetry.sdk" in sys.modules]))
"""


def probed(before: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    ours = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", PROBE.format(before=before)],
        env={**ours, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def test_without_an_endpoint_nothing_is_loaded_and_nothing_wanted():
    assert probed().stdout == "[false, false]\n"
    assert probed(FASTAPI_OTEL_AUTO_CONFIGURE="true", OTEL_TRACES_EXPORTER="otlp").stdout == "[false, false]\n"
    assert probed(**{ENDPOINT: "http://127.0.0.1:4318"}).stdout == "[true, true]\n"


def test_without_the_packages_one_line_says_so():
    done = probed('sys.modules["opentelemetry.exporter"] = None', **{ENDPOINT: "http://127.0.0.1:4318"})
    assert done.stdout.startswith("[false,")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"WARNING {ENDPOINT} is set, but opentelemetry.exporter")
    assert line.endswith("is not installed: no traces; pip install 'forecaster[otel]'")

"""What Prometheus collects of a worker, over HTTP."""

import socket
import urllib.request
from datetime import date

import pytest
from prometheus_client.parser import text_string_to_metric_families

from forecaster.errors import ConfigError
from pipelines.metrics import WorkerMetrics

Samples = dict[tuple[str, ...], float]


def scraped(port: int, host: str = "127.0.0.1") -> dict[str, Samples]:
    """Values by metric and by the values of its labels."""
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=30) as answer:  # our own
        assert answer.headers["content-type"].startswith("text/plain")
        text = answer.read().decode()
    found: dict[str, Samples] = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            found.setdefault(one.name, {})[tuple(one.labels.values())] = one.value
    return found


def test_what_happened_is_told():
    metrics = WorkerMetrics()
    with metrics.serve(0) as port:
        metrics.ran("session", "done", 12.5)
        metrics.ran("session", "done", 11.0)
        metrics.ran("retrain", "failed", 60.0)
        metrics.stepped("retrain", "train", 55.0)
        metrics.session_done("^GSPC-return-5", date(2018, 12, 3))
        metrics.aged("^GSPC", 0)
        metrics.aged("VIXCLS", 2)
        metrics.alarm("scores")
        metrics.watched("scores", "", 3.5, 9.0)
        metrics.watched("inputs", "log_return", 10.5, 9.25)
        metrics.living(3)
        found = scraped(port)
    assert found["forecaster_runs_total"] == {("session", "done"): 2, ("retrain", "failed"): 1}
    assert found["forecaster_run_seconds"] == {("session", "all"): 11, ("retrain", "all"): 60, ("retrain", "train"): 55}
    assert found["forecaster_last_session_timestamp_seconds"] == {("^GSPC-return-5",): 1543795200}
    assert found["forecaster_data_age_sessions"] == {("^GSPC",): 0, ("VIXCLS",): 2}
    assert found["forecaster_alarms_total"] == {("inputs",): 0, ("scores",): 1, ("coverage",): 0, ("age",): 0}
    assert found["forecaster_drift_statistic"] == {("scores", ""): 3.5, ("inputs", "log_return"): 10.5}
    assert found["forecaster_drift_threshold"] == {("scores", ""): 9.0, ("inputs", "log_return"): 9.25}
    assert found["forecaster_workers"] == {(): 3}
    assert found["forecaster_up"] == {(): 1}
    assert found["process_resident_memory_bytes"][()] > 0


def test_each_worker_has_its_own_and_the_port_is_free_afterwards():
    one, other = WorkerMetrics(), WorkerMetrics()
    one.living(1)
    other.living(2)
    with one.serve(0) as port, other.serve(0) as second:
        assert scraped(port)["forecaster_workers"] == {(): 1}
        assert scraped(second)["forecaster_workers"] == {(): 2}
    with one.serve(port) as again:
        assert again == port


def test_by_default_other_machines_are_not_answered():
    with WorkerMetrics().serve(0) as port, socket.socket() as elsewhere:
        assert elsewhere.connect_ex(("127.0.0.2", port)) != 0  # another address of this machine
    with WorkerMetrics().serve(0, "0.0.0.0") as port:  # noqa: S104  # as in a container
        assert scraped(port, "127.0.0.2")["forecaster_up"] == {(): 1}


def test_a_port_that_is_taken_is_an_error():
    taken = pytest.raises(ConfigError, match=r"in use.*choose another")
    with WorkerMetrics().serve(0) as port, taken, WorkerMetrics().serve(port):
        pass

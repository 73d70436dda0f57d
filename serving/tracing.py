"""Traces by OpenTelemetry, exactly where OTEL_EXPORTER_OTLP_ENDPOINT says where to send them.

FastAPI makes the spans, `serving.spans` sends them.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi.telemetry import TelemetryConfig

log = logging.getLogger(__name__)

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@dataclass(frozen=True)
class Tracing:
    """What FastAPI is told of telemetry, and what is to be done when the service has answered its last request."""

    config: TelemetryConfig
    close: Callable[[], None]
    """Sends what is left; blocks for some seconds where nobody takes it."""


def tracing(environment: Mapping[str, str]) -> Tracing:
    """None, or traces sent by OTLP over HTTP."""
    config: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
    if not environment.get(ENDPOINT):
        return Tracing(config, lambda: None)  # to look at each request whether it is wanted takes as long as the door
    try:
        from serving.spans import provider  # the extra `otel`
    except ImportError as error:
        log.warning(
            "%s is set, but %s is not installed: no traces; pip install 'forecaster[otel]'", ENDPOINT, error.name
        )
        return Tracing(config, lambda: None)
    made = provider(environment)
    return Tracing({**config, "tracing": True, "tracer_provider": made}, made.shutdown)

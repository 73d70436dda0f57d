"""Traces by OpenTelemetry, exactly where OTEL_EXPORTER_OTLP_ENDPOINT says where to send them.

FastAPI makes the spans, `serving.spans` sends them.
"""

import logging
from collections.abc import Mapping

from fastapi.telemetry import TelemetryConfig

log = logging.getLogger(__name__)

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def telemetry(environment: Mapping[str, str]) -> TelemetryConfig:
    """FastAPI's telemetry: nothing, or traces sent by OTLP over HTTP."""
    config: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
    if not environment.get(ENDPOINT):
        return config  # to look at each request whether it is wanted takes as long as the door
    try:
        from serving.spans import provider  # the extra `otel`
    except ImportError as error:
        log.warning(
            "%s is set, but %s is not installed: no traces; pip install 'forecaster[otel]'", ENDPOINT, error.name
        )
        return config
    return {**config, "tracing": True, "tracer_provider": provider(environment)}

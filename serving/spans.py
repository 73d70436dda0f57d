"""Spans on their way out: without what a caller wrote.

A request's path, query, host and trace state are somebody else's words. The sampler decides what a span begins with, so
it leaves them out; a span is named by the template of its route.
"""

from collections.abc import Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from forecaster import __version__

_OURS = frozenset({"url.scheme", "http.request.method", "network.protocol.version", "code.function.name"})
"""Attributes at a span's beginning that no caller can put words into."""


def provider(environment: Mapping[str, str]) -> TracerProvider:
    """What makes spans and sends them, in batches, by OTLP over HTTP; the SDK reads its variables itself.

    What is left is sent when it is shut down: a process that ends by a signal runs nothing at its exit.
    """
    named = {} if environment.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "forecaster"}
    made = TracerProvider(resource=Resource.create({SERVICE_VERSION: __version__, **named}), shutdown_on_exit=False)
    made.sampler = Discreet(made.sampler)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made


class Discreet(Sampler):
    """Another sampler's decisions, about spans that begin without a caller's words."""

    def __init__(self, other: Sampler) -> None:
        self._other = other

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Its decision, with what is ours of the attributes and no trace state."""
        ours = {key: value for key, value in (attributes or {}).items() if key in _OURS}
        found = self._other.should_sample(parent_context, trace_id, name, kind, ours, links, trace_state)
        return SamplingResult(found.decision, ours)

    def get_description(self) -> str:
        """Its own, and that of the other."""
        return f"Discreet({self._other.get_description()})"

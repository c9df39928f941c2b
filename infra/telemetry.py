"""Sends traces: OpenTelemetry behind the small face of `commands.tracing`, imported only where there is somewhere to
send them.

Place in the flow: each process -> `traced(settings, process)` around its life -> OTLP over HTTP -> Jaeger or any other.
A receiver that is away costs next to nothing: after a failed batch nothing is sampled for a while, and the log has one
line when it goes and one when it is back.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import structlog

from horae.commands import tracing
from horae.infra.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

_log = structlog.get_logger(__name__)

#: How long nothing is sampled after the receiver did not take a batch.
REST_S = 30.0
_EXPORT_TIMEOUT_S = 3.0
_EXPORT_EVERY_MS = 1_000
_QUEUE = 8_192
#: How long the end of a process waits for the last spans.
_LAST_S = 1.0
#: Jaeger's port for its old form, which the catalogue names; nothing there understands OTLP.
_THRIFT = ":14268"


@contextlib.contextmanager
def traced(settings: Settings, process: str) -> Iterator[None]:
    """Trace within, if it is on and there is an endpoint; else nothing is imported and nothing happens."""
    if not settings.tracing_enabled or settings.jaeger_endpoint is None:
        yield
        return
    stop = _start(settings, settings.jaeger_endpoint, process)
    try:
        yield
    finally:
        tracing.install(None)
        # The library waits for up to 30 s for a receiver that is away; a process that is told to stop does not.
        last = threading.Thread(target=stop, name="last-spans", daemon=True)
        last.start()
        last.join(_LAST_S)


def traces_url(endpoint: str) -> str:
    """Where spans are posted: a bare host gets OTLP's own path, anything else is taken as it is."""
    base = endpoint.rstrip("/")
    return f"{base}/v1/traces" if base.count("/") == 2 else base


class Patience:
    """What a failed batch means for the next while. Read by every span, written by the exporting thread."""

    def __init__(self, endpoint: str, rest_s: float = REST_S) -> None:
        self._endpoint, self._rest_s, self._until = endpoint, rest_s, 0.0

    @property
    def resting(self) -> bool:
        """True: nobody takes spans, so make none."""
        return self._until > 0 and time.monotonic() < self._until

    def failed(self, error: str) -> None:
        """The receiver did not take a batch."""
        if not self._until:
            hint = "Jaeger takes OTLP at port 4318." if _THRIFT in self._endpoint else "Spans are dropped meanwhile."
            _log.warning("traces_not_taken", endpoint=self._endpoint, error=error, hint=hint, again_in_s=self._rest_s)
        self._until = time.monotonic() + self._rest_s

    def succeeded(self) -> None:
        """It took one."""
        if self._until:
            _log.info("traces_taken_again", endpoint=self._endpoint)
        self._until = 0.0


def _start(settings: Settings, endpoint: str, process: str) -> Callable[[], None]:
    """Everything of the library is imported here: it takes half a second, which nobody pays who does not trace."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from horae.infra.spans import OpenTelemetryTracer, Sampling

    # Its own words, one for each batch and each retry, are told once by us.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    patience = Patience(endpoint)
    resource = Resource.create(
        {
            "service.name": tracing.SERVICE,
            "service.version": settings.service_version,
            "service.instance.id": process,
        }
    )
    # No hook at the interpreter's end: `traced` ends it, within its own bound.
    provider = TracerProvider(
        Sampling(settings.trace_ratio, lambda: patience.resting), resource, shutdown_on_exit=False
    )
    exporter = _watched(OTLPSpanExporter(traces_url(endpoint), timeout=_EXPORT_TIMEOUT_S), patience)
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=_QUEUE, schedule_delay_millis=_EXPORT_EVERY_MS)
    )
    tracer = provider.get_tracer("horae", settings.service_version)
    tracing.install(OpenTelemetryTracer(tracer, lambda: patience.resting))
    return provider.shutdown


def _watched(exporter: SpanExporter, patience: Patience) -> SpanExporter:
    """`exporter`, which tells `patience` how each batch went."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Watched(SpanExporter):
        """Passes batches on."""

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            """Never raises: what it cannot pass on is lost, and the service goes on."""
            try:
                result = exporter.export(spans)
            except Exception as error:  # noqa: BLE001  whatever it is, it is about traces and not about us
                patience.failed(f"{type(error).__name__}: {error}")
                return SpanExportResult.FAILURE
            if result is SpanExportResult.SUCCESS:
                patience.succeeded()
            else:
                patience.failed("it did not answer, or refused them")
            return result

        def shutdown(self) -> None:
            """Let go of the connection."""
            exporter.shutdown()

    return Watched()

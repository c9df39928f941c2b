"""Spans as OpenTelemetry has them, behind the face of `commands.tracing`; imported by processes that trace.

Place in the flow: `telemetry` installs `OpenTelemetryTracer`. A context that comes from outside or from an event is
taken for what it says; texts that are no context are taken for none.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from types import TracebackType
from typing import Final

from opentelemetry import context as contexts
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.util.types import Attributes as OtelAttributes

from horae.commands.tracing import NOTHING, OFF, Attributes, Kind, Span

#: version, trace, span, flags (https://www.w3.org/TR/trace-context/); later versions may say more behind it.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KINDS: Final = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
}
#: Traces that one batch of the read models is told to; a span each.
MOST_OF_A_BATCH = 32
_LOW_64_BITS = (1 << 64) - 1


def read_traceparent(text: str) -> SpanContext | None:
    """The context that `text` names; None: it names none."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None:
        return None
    trace, span, flags = found[1], found[2], found[3]
    return SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def write_traceparent(context: SpanContext) -> str:
    """The context as it travels."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"


class Sampling(Sampler):
    """A request by its caller's word or by `ratio`; what it caused by what was done with the request.

    While `resting` says so, nothing.
    """

    def __init__(self, ratio: float, resting: Callable[[], bool]) -> None:
        self._bound, self._resting = round(ratio * (_LOW_64_BITS + 1)), resting

    def should_sample(
        self,
        parent_context: contexts.Context | None,
        trace_id: int,
        name: str,  # noqa: ARG002
        kind: SpanKind | None = None,  # noqa: ARG002
        attributes: OtelAttributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,  # noqa: ARG002
    ) -> SamplingResult:
        """See `Sampler`."""
        parent = get_current_span(parent_context).get_span_context()
        if self._resting():
            sampled = False
        elif parent.is_valid:
            sampled = parent.trace_flags.sampled
        elif links:
            # What was asked for in a trace is traced when it comes to pass, however much later.
            sampled = any(link.context.trace_flags.sampled for link in links)
        else:
            sampled = (trace_id & _LOW_64_BITS) < self._bound
        if not sampled:
            return SamplingResult(Decision.DROP)
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        """See `Sampler`."""
        return f"Horae({self._bound / (_LOW_64_BITS + 1):g})"


class _Work:
    """A span under way, and the context manager around it."""

    def __init__(self, span: OtelSpan) -> None:
        self._span, self.recording = span, span.is_recording()

    def __enter__(self) -> _Work:
        self._token = contexts.attach(set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        contexts.detach(self._token)
        if kind is not None:
            self.fail(kind.__name__)
        self._span.end()

    def describe(self, attributes: Attributes) -> None:
        """See `tracing.Span`."""
        self._span.set_attributes(attributes)

    def rename(self, name: str, attributes: Attributes) -> None:
        """See `tracing.Span`."""
        self._span.update_name(name)
        self._span.set_attributes(attributes)

    def event(self, name: str, data: Attributes = NOTHING) -> None:
        """See `tracing.Span`."""
        self._span.add_event(name, data)

    def fail(self, kind: str) -> None:
        """See `tracing.Span`."""
        self._span.set_status(Status(StatusCode.ERROR, kind))
        self._span.set_attribute("error.type", kind)


class OpenTelemetryTracer:
    """See `tracing.Tracer`."""

    def __init__(self, tracer: Tracer, resting: Callable[[], bool]) -> None:
        self._tracer, self._resting = tracer, resting

    def span(
        self, name: str, kind: Kind, attributes: Attributes, parent: str | None, links: Iterable[str]
    ) -> AbstractContextManager[Span]:
        """See `tracing.Tracer`."""
        if self._resting():
            # Nobody takes it: not even asking the library is a tenth of the price.
            return OFF
        linked = [Link(context) for text in links if (context := read_traceparent(text)) is not None]
        return _Work(
            self._tracer.start_span(
                name, _below(parent), _KINDS[kind], attributes, linked, record_exception=False,
                set_status_on_exception=False,
            )
        )  # fmt: skip

    @contextmanager
    def batch(self, name: str, parents: Iterable[str], attributes: Attributes) -> Iterator[None]:
        """See `tracing.Tracer`; at most `MOST_OF_A_BATCH` traces hear of it."""
        began = time.time_ns()
        # One trace may have several events in it: it is told once.
        each = {parent[3:35]: parent for parent in parents}
        yield
        if not each:
            return
        ended = time.time_ns()
        for parent in islice(each.values(), MOST_OF_A_BATCH):
            if (below := _below(parent)) is not None:
                span = self._tracer.start_span(name, below, SpanKind.CONSUMER, attributes, start_time=began)
                span.end(ended)

    def traceparent(self) -> str | None:
        """See `tracing.Tracer`."""
        context = get_current_span().get_span_context()
        return write_traceparent(context) if context.is_valid and context.trace_flags.sampled else None


def _below(parent: str | None) -> contexts.Context | None:
    """The library's context whose present span is `parent`; None: whatever is under way."""
    context = read_traceparent(parent) if parent is not None else None
    return None if context is None else set_span_in_context(NonRecordingSpan(context))

"""Sending traces: what is sampled, what a receiver that is away costs, and that nobody pays who does not trace."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog

from horae.commands import tracing
from horae.domain.channel import Kafka
from horae.domain.envelope import Meta
from horae.infra.channels.kafka import headers_of
from horae.infra.settings import Settings
from horae.infra.spans import MOST_OF_A_BATCH, read_traceparent
from horae.infra.telemetry import Patience, traced, traces_url
from tests.contracts.channel import release_to
from tests.domain.samples import META
from tests.fixtures.otlp import OtlpReceiver

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def nothing_after() -> Iterator[None]:
    """Whatever a test installs is gone after it."""
    yield
    tracing.install(None)


@pytest.fixture
async def jaeger() -> AsyncIterator[OtlpReceiver]:
    """A running receiver."""
    async with OtlpReceiver() as running:
        yield running


def settings(**given: Any) -> Settings:
    return Settings(**given)


def told(ratio: float, parents: list[str | None], jaeger: OtlpReceiver) -> list[str | None]:
    """What the context of a span is, below each of `parents`."""
    contexts = []
    with traced(settings(jaeger_endpoint=jaeger.endpoint, trace_ratio=ratio), "api"):
        for parent in parents:
            with tracing.span("x", parent=parent):
                contexts.append(tracing.traceparent())
    return contexts


@pytest.mark.covers("ENV-43", "OBS-17")
@pytest.mark.parametrize("given", [{}, {"tracing_enabled": False, "jaeger_endpoint": "http://localhost:4318"}])
def test_without_an_endpoint_nothing_is_traced_nor_imported(given: dict[str, object]) -> None:
    """Off, or on with nowhere to send to: what sends is not even imported, and a span is one shared nothing."""
    program = (
        "import json, sys\n"
        "heavy = {'opentelemetry.sdk.trace', 'opentelemetry.proto', 'opentelemetry.exporter', 'requests'}\n"
        "from horae.commands import tracing\n"
        "from horae.infra.settings import Settings\n"
        "from horae.infra.telemetry import traced\n"
        f"with traced(Settings(**{given!r}), 'api'):\n"
        "    off = tracing.span('x') is tracing.OFF and tracing.traceparent() is None\n"
        "import horae.infra.processes.api_process, horae.infra.processes.worker_process\n"
        "print(json.dumps([off, [name for name in sys.modules if name in heavy]]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100)
    assert json.loads(done.stdout) == [True, []]


@pytest.mark.covers("ENV-44")
async def test_spans_arrive_with_what_they_say(jaeger: OtlpReceiver) -> None:
    """Service, process, tags, events with data, and a failure by its kind; an exception's message is not among it."""

    def work() -> None:
        with (
            traced(settings(jaeger_endpoint=jaeger.endpoint), "worker"),
            pytest.raises(ValueError),
            tracing.span("outer", attributes={"a": 1}) as outer,
        ):
            outer.event("claimed", {"attempt": 1})
            with tracing.span("inner"):
                raise ValueError("said to one person only")

    await asyncio.to_thread(work)
    (inner, outer) = await jaeger.until(lambda span: True, 2)
    assert (inner.name, inner.parent, inner.trace) == ("inner", outer.span, outer.trace)
    assert (outer.process, outer.events, outer.failed) == ("worker", ("claimed",), True)
    assert outer.attributes == {"a": 1, "error.type": "ValueError"}
    assert "one person" not in str(jaeger.spans)


async def test_the_callers_word_goes_before_the_ratio(jaeger: OtlpReceiver) -> None:
    """Sampled by its caller: always; not sampled: never, and nothing is handed on; without a caller by the ratio."""
    unsampled = f"{SAMPLED[:-2]}00"
    none_of_ours, ours = told(0, [SAMPLED, unsampled, None], jaeger), told(1, [SAMPLED, unsampled, None], jaeger)
    assert none_of_ours[0] is not None
    assert none_of_ours[0].startswith(f"00-{TRACE}-")
    assert none_of_ours[1:] == [None, None]
    assert (ours[0] or "").startswith(f"00-{TRACE}-")
    assert ours[1] is None
    assert (ours[2] or "").startswith("00-")


async def test_what_was_asked_for_in_a_trace_is_traced_when_it_comes(jaeger: OtlpReceiver) -> None:
    """A link to a sampled trace makes the new one sampled too, whatever the ratio; it is a trace of its own."""
    with (
        traced(settings(jaeger_endpoint=jaeger.endpoint, trace_ratio=0), "worker"),
        tracing.span("x", links=[SAMPLED]),
    ):
        context = tracing.traceparent()
    assert context is not None
    assert TRACE not in context


async def test_one_batch_is_told_to_each_of_its_traces(jaeger: OtlpReceiver) -> None:
    """Once per trace however many of its events the batch holds, and to a bounded number of traces."""
    many = [f"00-{number:032x}-00f067aa0ba902b7-01" for number in range(1, 100)]

    def work() -> None:
        with traced(settings(jaeger_endpoint=jaeger.endpoint), "worker"):
            with tracing.batch("projection.apply", lambda: [SAMPLED, SAMPLED, "nonsense"]):
                pass
            with tracing.batch("many", lambda: many):
                pass

    await asyncio.to_thread(work)
    await jaeger.until(lambda span: span.name == "many", MOST_OF_A_BATCH)
    assert [span.trace for span in jaeger.spans if span.name == "projection.apply"] == [TRACE]
    assert len([span for span in jaeger.spans if span.name == "many"]) == MOST_OF_A_BATCH


@pytest.mark.parametrize(
    "text",
    ["", "x", f"ff-{TRACE}-00f067aa0ba902b7-01", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE}-{'0' * 16}-01"],
)
def test_what_is_no_context_is_none(text: str) -> None:
    """Callers send anything: what W3C forbids is as if it were absent."""
    assert read_traceparent(text) is None


def test_a_receiver_that_is_away_is_told_once_and_left_alone() -> None:
    """One line when it goes, one when it is back; between them nothing is sampled but one try per rest."""
    with structlog.testing.capture_logs() as lines:
        patience = Patience("http://jaeger:14268", rest_s=3600)
        resting = [patience.resting]
        for _ in range(3):
            patience.failed("connection refused")
        resting.append(patience.resting)
        patience.succeeded()
        patience.succeeded()
        resting.append(patience.resting)
    assert resting == [False, True, False]
    assert [line["event"] for line in lines] == ["traces_not_taken", "traces_taken_again"]
    assert "4318" in lines[0]["hint"]


async def test_a_receiver_that_refuses_costs_one_batch(jaeger: OtlpReceiver) -> None:
    """After a batch that was not taken spans are not even recorded, so that nothing piles up."""
    jaeger.status = 400

    def work() -> list[bool]:
        with traced(settings(jaeger_endpoint=jaeger.endpoint), "worker"):
            with tracing.span("first") as first:
                recorded = [first.recording]
            asyncio.run_coroutine_threadsafe(jaeger.asked(1), loop).result()
            # The exporting thread takes note of the answer after the receiver has given it.
            while True:
                with tracing.span("later") as later:
                    if not later.recording:
                        return [*recorded, later.recording]

    loop = asyncio.get_running_loop()
    assert await asyncio.to_thread(work) == [True, False]


def test_where_spans_are_posted() -> None:
    """A bare host gets the path of the protocol; a path that is given is kept."""
    assert traces_url("http://jaeger:4318") == traces_url("http://jaeger:4318/") == "http://jaeger:4318/v1/traces"
    assert traces_url("https://collector/otlp/v1/traces") == "https://collector/otlp/v1/traces"


def test_an_event_that_was_not_traced_is_stored_as_before() -> None:
    """The envelope's context is absent from what is stored, and what was stored without it is read."""
    assert "traceparent" not in META.model_dump_json(exclude_none=True)
    with_context = META.model_copy(update={"traceparent": SAMPLED})
    assert Meta.model_validate_json(with_context.model_dump_json(exclude_none=True)) == with_context


async def test_a_release_to_kafka_carries_its_context_too(jaeger: OtlpReceiver) -> None:
    """In the header that AsyncAPI names, and only while somebody traces."""
    release = release_to(Kafka("notifications-due"))
    with (
        traced(settings(jaeger_endpoint=jaeger.endpoint), "worker"),
        tracing.span("schedule.release", parent=SAMPLED),
    ):
        context = dict(headers_of(release))["traceparent"].decode()
        assert context == tracing.traceparent()
    assert context.startswith(f"00-{TRACE}-")
    assert "traceparent" not in dict(headers_of(release))

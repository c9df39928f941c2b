"""A request's trace, through the real processes: API, log, read models, claim, release, and the receiver's side."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import MakeService
from tests.e2e.receiver import Receiver
from tests.fixtures.otlp import OtlpReceiver, Sent

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e-tracing")]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = f"00-{TRACE}-00f067aa0ba902b7-01"
PERSON = "somebody@example.com"
#: On the way from the request to the receiver.
WANTED = (
    *("POST /v1/schedules", "schedule.create", "log.append", "projection.apply"),
    *("schedule.execute", "schedule.release"),
)


@pytest.mark.covers("OBS-12", "OBS-13", "OBS-16")
async def test_a_trace_goes_from_the_caller_to_the_receiver(make_service: MakeService, receiver: Receiver) -> None:
    """The caller's trace id is on the spans of API and worker, and in the webhook's traceparent, below the caller's."""
    async with OtlpReceiver() as jaeger:
        service = make_service()
        service.environment["JAEGER_ENDPOINT"] = jaeger.endpoint
        await service.start()
        async with service.client() as client:
            client.headers["traceparent"] = CALLER
            created = await service.create(client, channel=receiver.channel, recipient=PERSON, content={"n": 1})
        (request,) = await receiver.received(1)
        for name in WANTED:
            await jaeger.until(lambda span, name=name: (span.trace, span.name) == (TRACE, name))  # type: ignore[misc]
        # And more: each road has spans of its own, and every event of the trace is applied.
        (released,) = await jaeger.until(lambda span: (span.trace, span.name) == (TRACE, "schedule.release"))
        # Another worker also tries what is late, and finds it claimed: it is the span above the release.
        (executed,) = await jaeger.until(lambda span: span.span == released.parent)
        mine = [span for span in jaeger.spans if span.trace == TRACE]
        assert request.headers["traceparent"] == f"00-{TRACE}-{released.span}-01"

        found = {span.name: span for span in mine}
        assert (found["POST /v1/schedules"].process, released.process) == ("api", "worker")
        assert _above(released, mine) == ["schedule.execute", "schedule.create", "POST /v1/schedules"]
        assert executed.attributes["schedule.id"] == created["id"]
        assert executed.attributes["operation.type"] == "execute"
        assert executed.attributes["service.name"] == "notification-scheduling"
        assert executed.events == ("claimed",)
        assert released.events == ("released",)
        assert found["POST /v1/schedules"].attributes["http.response.status_code"] == 201

        told = str(jaeger.spans)
        assert PERSON not in told
        assert receiver.channel not in told
        assert jaeger.paths == {"/v1/traces"}


@pytest.mark.covers("OBS-14", "OBS-15", "EXT-49")
async def test_what_fires_later_is_a_trace_of_its_own_linked_to_the_asking_one(
    make_service: MakeService, receiver: Receiver
) -> None:
    """A day after the request (on virtual time) the release has another trace id, and its span links to the request's;
    the recipient is on it as a reference only, a failure as an event with its kind and status."""
    async with OtlpReceiver() as jaeger:
        service = make_service(clock="virtual=2027-01-01T00:00:00Z")
        service.environment["JAEGER_ENDPOINT"] = jaeger.endpoint
        await service.start()
        receiver.default.status = 410
        async with service.client() as client:
            client.headers["traceparent"] = CALLER
            await service.create(
                client,
                channel=receiver.channel,
                recipient=PERSON,
                metadata={"type": "digest"},
                priority=3,
                timing={"kind": "at", "local": "2027-01-02T09:00", "zone": "Asia/Tokyo"},
            )
            del client.headers["traceparent"]
            await client.post("/v1/clock/advance", json={"by": "P3D"})
        (request,) = await receiver.received(1)
        (released,) = await jaeger.until(lambda span: span.name == "schedule.release")
        (executed,) = await jaeger.until(lambda span: span.span == released.parent)
        assert executed.trace != TRACE
        assert executed.links == (TRACE,)
        assert request.headers["traceparent"].split("-")[1] == executed.trace
        attributes = executed.attributes
        assert attributes["schedule.type"] == "digest"
        assert attributes["schedule.priority"] == 3
        assert attributes["schedule.timezone"] == "Asia/Tokyo"
        assert attributes["user.id"] not in ("", PERSON)
        assert (released.events, released.failed) == (("failed",), True)


def _above(span: Sent, spans: list[Sent]) -> list[str]:
    """The names of what a span lies below, nearest first."""
    names = []
    by_id = {each.span: each for each in spans}
    while (span := by_id.get(span.parent)) is not None:  # type: ignore[assignment]
        names.append(span.name)
    return names

"""A request's span says how it ended, whichever way the request took and whoever refused it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from horae.commands import tracing
from horae.infra.settings import Settings
from horae.infra.telemetry import traced
from tests.api.world import LOG_NOW, World
from tests.fixtures.otlp import OtlpReceiver, Sent

NAME = "POST /v1/schedules"


@pytest.fixture
async def jaeger() -> AsyncIterator[OtlpReceiver]:
    """Takes the spans of this process, which sends them as long as the test runs."""
    async with OtlpReceiver() as receiver:
        with traced(Settings(jaeger_endpoint=receiver.endpoint), "api"):
            yield receiver
        tracing.install(None)


async def spans(jaeger: OtlpReceiver, count: int) -> list[Sent]:
    """The spans of the requests, in the order of their end."""
    await jaeger.until(lambda _: sum(span.name == NAME for span in jaeger.spans) >= count)
    return [span for span in jaeger.spans if span.name == NAME]


def told(span: Sent) -> tuple[Any, bool]:
    return span.attributes.get("http.response.status_code"), span.failed


@pytest.mark.covers("OBS-12")
async def test_a_refusal_is_told_with_its_status_and_is_no_failure_of_ours(world: World, jaeger: OtlpReceiver) -> None:
    """By the router's way, which the first request to a path takes, and by the short one that it opens to the next."""
    refused = {**LOG_NOW, "channel": "pigeon:"}
    for body in (refused, LOG_NOW, refused):
        await world.client.post("/v1/schedules", json=body)
    assert [told(span) for span in await spans(jaeger, 3)] == [(422, False), (201, False), (422, False)]


async def test_what_nobody_foresaw_is_told_as_a_500_and_a_failure(
    world: World, jaeger: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By either way; the caller gets a 500 as well."""

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("nobody foresaw this")

    await world.client.post("/v1/schedules", json=LOG_NOW)
    monkeypatch.setattr(world.services.schedules, "create", fail)
    answer = await world.client.post("/v1/schedules", json=LOG_NOW)
    assert answer.status_code == 500
    assert [told(span) for span in await spans(jaeger, 2)] == [(201, False), (500, True)]

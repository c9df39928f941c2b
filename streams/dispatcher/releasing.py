"""One attempt on its way out: the channel is called within the attempt's time, and whatever happens becomes a result.

Place in the flow: claim -> *release* -> outcome.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime

import structlog

from horae.commands.occurrences import Attempt
from horae.commands.ports import Clock
from horae.domain.channel import Channel as Address
from horae.domain.channel import parse_channel
from horae.domain.delivery import Failure
from horae.domain.errors import Invalid
from horae.streams.channels import Channels, Receipt, Release, ReleaseFailed

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt went: `failure` None means that the channel took it."""

    started_at: datetime
    duration_ms: float
    receipt: Receipt | None
    failure: Failure | None

    @property
    def status(self) -> str:
        """For metrics: completed, timeout or failed."""
        if self.failure is None:
            return "completed"
        return "timeout" if self.failure.kind == "timeout" else "failed"


def endpoint_in_trouble(failure: Failure | None) -> Exception | None:
    """What counts against an endpoint's breaker: it cannot be reached or cannot cope; not that it refuses a message."""
    if failure is None or failure.kind in ("refused_target", "channel", "internal"):
        return None
    if failure.status_code is not None and failure.status_code < 500 and failure.status_code != 429:
        return None
    return ReleaseFailed(failure)


async def send(attempt: Attempt, channels: Channels, clock: Clock) -> Result:
    """Release it once. Never raises but when cancelled."""
    started_at, started = clock.now(), time.perf_counter()
    receipt, failure = None, None
    try:
        release = _release(attempt, started_at)
        async with asyncio.timeout(release.timeout.total_seconds()):
            receipt = await channels.of(release.address).release(release)
    except ReleaseFailed as failed:
        failure = failed.failure
    except TimeoutError:
        timeout_s = attempt.schedule.definition.delivery.timeout.total_seconds()
        failure = Failure(kind="timeout", message=f"no answer within {timeout_s:g} s")
    except Invalid as invalid:
        failure = Failure(kind="channel", message=str(invalid), nothing_arrived=True, retryable=False)
    except Exception as error:
        # A channel's bug must not lose the attempt.
        log.exception("channel_failed", occurrence=str(attempt.occurrence.id))
        failure = Failure(kind="internal", message=f"{type(error).__name__}: {error}")
    return Result(started_at, (time.perf_counter() - started) * 1000, receipt, failure)


def address_of(channel: str) -> Address | None:
    """The address, or None if it cannot be read (the attempt will say why)."""
    try:
        return parse_channel(channel)
    except Invalid:
        return None


def _release(attempt: Attempt, now: datetime) -> Release:
    schedule, occurrence = attempt.schedule, attempt.occurrence
    personal, delivery = schedule.personal, schedule.definition.delivery
    assert occurrence.slot is not None
    assert occurrence.due_at is not None
    return Release(
        tenant=attempt.tenant,
        occurrence=occurrence.id,
        schedule=schedule.id,
        recipient=personal.recipient,
        address=parse_channel(personal.channel),
        slot=occurrence.slot,
        due_at=occurrence.due_at,
        released_at=now,
        attempt=occurrence.attempt,
        mode=delivery.mode,
        timeout=delivery.timeout,
        content=personal.content,
        metadata=personal.metadata,
        tags=personal.tags,
    )

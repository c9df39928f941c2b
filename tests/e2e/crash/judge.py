"""What was promised under load and what became of it: the receiver counts, the log tells, and both must agree."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import asyncpg

from tests.e2e.crash.load import Acknowledged
from tests.e2e.receiver import Received, Receiver
from tests.e2e.talking import PATIENCE_S

#: Bounds how long the backlog of all those kills may take to go out.
DRAIN_S = 900.0


class Drainable(Protocol):
    """An installation: `harness.Service`, or a house of the stack profile."""

    async def connect(self) -> asyncpg.Connection[asyncpg.Record]:
        """To its database, as the owner."""
        ...

    async def until(
        self, wanted: Callable[[dict[str, Any]], bool], count: int = 1, *, after: int = 0, within_s: float = PATIENCE_S
    ) -> list[Any]:
        """See `Talking.until`."""
        ...


@dataclass(slots=True)
class Deliveries:
    """What the receiver got: how often each message, and how late."""

    count: Counter[UUID] = field(default_factory=Counter)
    lateness_s: list[float] = field(default_factory=list)
    #: From each kill to the next message, by what was killed.
    silence_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


class CountingReceiver(Receiver):
    """Counts instead of keeping tens of thousands of bodies."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = Deliveries()
        #: Told of each message: what it says, and when it came.
        self.watchers: list[Callable[[Any, datetime], None]] = []
        #: Who waits for which total.
        self._waiting: list[tuple[int, asyncio.Event]] = []

    def note(self, received: Received) -> None:
        """One more message."""
        message = received.json
        self.seen.count[UUID(received.occurrence)] += 1
        now = datetime.now(UTC)
        self.seen.lateness_s.append((now - datetime.fromisoformat(message["due_at"])).total_seconds())
        for watch in self.watchers:
            watch(message, now)
        for wanted, reached in self._waiting:
            if len(self.seen.lateness_s) >= wanted:
                reached.set()

    async def more(self, count: int, within_s: float = 300.0) -> None:
        """Return when `count` further messages have come. Raises `TimeoutError`: then nothing recovers.

        The time is for thousands of messages on a machine that does much else besides.
        """
        waiting = (len(self.seen.lateness_s) + count, asyncio.Event())
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(within_s):
                await waiting[1].wait()
        finally:
            self._waiting.remove(waiting)


_LEDGER = """
SELECT (body->>'schedule')::uuid AS schedule, originator_id AS occurrence,
       count(*) FILTER (WHERE topic = 'occurrence.claimed.v1') AS claims,
       count(*) FILTER (WHERE topic = 'occurrence.ended.v1') AS ends,
       max(body->>'outcome') AS outcome,
       max(body->'slot'->>'local') AS slot
FROM (SELECT originator_id, topic, convert_from(state, 'UTF8')::jsonb->'body' AS body FROM log.events
      WHERE topic LIKE 'occurrence.%') AS events
GROUP BY 1, 2
"""


_ENDED = """
SELECT DISTINCT (body->>'schedule')::uuid
FROM (SELECT convert_from(state, 'UTF8')::jsonb->'body' AS body FROM log.events
      WHERE topic = 'occurrence.ended.v1' AND notification_id <= $1) AS ended
"""


async def drained(service: Drainable, acknowledged: Acknowledged) -> list[Any]:
    """The record of every occurrence, once each acknowledged schedule's has ended."""
    conn = await service.connect()
    try:
        head = await conn.fetchval("SELECT max(notification_id) FROM log.events")
        done = {schedule for (schedule,) in await conn.fetch(_ENDED, head)}
        waiting = {str(schedule) for schedule in acknowledged.once if schedule not in done}

        def is_last(event: dict[str, Any]) -> bool:
            if event["event"].startswith("occurrence.ended"):
                waiting.discard(str(event["data"]["schedule"]))
            return not waiting

        if waiting:
            await service.until(is_last, after=head, within_s=DRAIN_S)
        return list(await conn.fetch(_LEDGER))
    finally:
        await conn.close()


def judge(records: list[Any], acknowledged: Acknowledged, seen: Deliveries) -> Counter[str]:
    """Raise `AssertionError` unless every promise is kept; how many ended how."""
    assert acknowledged.refused == []
    by_schedule: dict[UUID, list[Any]] = {}
    for record in records:
        by_schedule.setdefault(record["schedule"], []).append(record)
    lost = [schedule for schedule in acknowledged.once if schedule not in by_schedule]
    assert lost == [], f"{len(lost)} acknowledged schedules were never claimed"
    outcomes: Counter[str] = Counter()
    for schedule, once in acknowledged.once.items():
        (record,) = by_schedule[schedule]
        occurrence = record["occurrence"]
        assert (record["claims"], record["ends"]) == (1, 1), dict(record)
        outcomes[record["outcome"]] += 1
        if once:
            assert seen.count[occurrence] <= 1, f"at_most_once {occurrence} came {seen.count[occurrence]} times"
            assert record["outcome"] in ("delivered", "unknown"), dict(record)
        else:
            assert record["outcome"] == "delivered", dict(record)
        if record["outcome"] == "delivered":
            assert seen.count[occurrence] >= 1, f"{occurrence} is recorded as delivered, but nobody got it"
    claimed = {record["occurrence"] for record in records}
    assert set(seen.count) <= claimed, "something was sent without a claim"
    return outcomes


def percentile(values: list[float], share: float) -> float:
    """The value below which that share lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0

"""A stretch of log that becomes visible all at once: so much to catch up with, and nobody busy with writing it.

Made by the real `log.append` within one transaction. Each schedule lives its life: created, claimed, ended; what is due
lies years ahead, so that no dispatcher has anything to do with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from benchmarks.projector import PLAN
from horae.domain import ids
from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.delivery import Delivery
from horae.domain.envelope import Event, Meta, NewEvent
from horae.domain.personal import Personal
from horae.infra.eventstore.batch import Append, make_append

_FIRST_DUE = datetime(2031, 6, 1, 9, tzinfo=UTC)
_TENANT = "default"
_SCHEDULES_A_COMMIT = 150
_APPEND = (
    "SELECT max(position) FROM log.append($1::int[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[], $6::smallint[], "
    "$7::text[], $8::bytea[], $9::int[], $10::uuid[], $11::bigint[])"
)


@dataclass(frozen=True, slots=True)
class Block:
    """Events that are stored, and the last position of each shard among them."""

    events: int
    last: dict[int, int]

    @property
    def head(self) -> int:
        """The last position."""
        return max(self.last.values())


class Blocks:
    """Gives one block after the other, of other schedules each."""

    def __init__(self, events: int) -> None:
        self._schedules = max(64, events // 3)
        self._made = 0

    def prepare(self) -> list[list[Append]]:
        """The next block, encoded, to be appended in portions."""
        numbers = range(self._made, self._made + self._schedules)
        self._made += self._schedules
        lives = [_life(number) for number in numbers]
        portions = []
        for begin in range(0, len(lives), _SCHEDULES_A_COMMIT):
            portion = lives[begin : begin + _SCHEDULES_A_COMMIT]
            # As it is in a log: what happens to one schedule lies apart.
            portions += [[make_append([life[step]], {}) for life in portion] for step in range(3)]
        return portions


async def store(conn: asyncpg.Connection[asyncpg.Record], portions: list[list[Append]]) -> Block:
    """Append in one transaction; when this returns all of it is there, and a moment before nothing was."""
    events = 0
    async with conn.transaction():
        before = await conn.fetchval("SELECT log.head()")
        for portion in portions:
            rows = [row for append in portion for row in append.rows]
            fences = [(n, stream, version) for n, a in enumerate(portion) for stream, version in a.expects.items()]
            await conn.execute(
                _APPEND,
                [n for n, append in enumerate(portion) for _ in append.rows],
                *(
                    [getattr(row, name) for row in rows]
                    for name in ("stream", "version", "event_id", "tenant", "shard", "topic", "state")
                ),
                *([fence[n] for fence in fences] for n in range(3)),
            )
            events += len(rows)
        last = await conn.fetch(
            "SELECT shard, max(notification_id) AS last FROM log.events WHERE notification_id > $1 GROUP BY shard",
            before,
        )
    return Block(events, {row["shard"]: row["last"] for row in last})


def _life(number: int) -> list[NewEvent]:
    now = datetime.now(UTC)
    schedule = ids.uuid7(int(now.timestamp() * 1000), number.to_bytes(10, "big"))
    due_at = _FIRST_DUE + timedelta(seconds=number % 86_400)
    recipient = f"user-{number}"
    shard = ids.shard_of(_TENANT, recipient)
    slot = t.Next(slot=t.Slot(local=due_at.replace(tzinfo=None)), due_at=due_at, plan=PLAN)
    after = due_at + timedelta(days=1)
    following = t.Next(slot=t.Slot(local=after.replace(tzinfo=None)), due_at=after, plan=PLAN)
    occurrence = ids.occurrence_id(schedule, slot.slot.local, 0)
    ref = f"{number:032x}"

    def bodies() -> Iterator[tuple[UUID, int, Event]]:
        personal = Personal(
            recipient=recipient,
            channel="webhook:https://example.com/hook",
            content={"subject": "Your order has shipped", "body": "Track it in the app, any time."},
            tags=("orders", "shipping"),
        )
        definition = s.Definition(
            timing=t.Every(cron="0 9 * * *", zone="Europe/Berlin"), priority=2, delivery=Delivery()
        )
        yield (
            schedule,
            1,
            s.ScheduleCreated(recipient_ref=ref, personal=personal, definition=definition, next=slot),
        )
        yield (
            occurrence,
            1,
            o.OccurrenceClaimed(
                schedule=schedule,
                recipient_ref=ref,
                priority=2,
                schedule_version=1,
                origin="slot",
                slot=slot.slot,
                due_at=due_at,
                plan=PLAN,
                owner=1,
                moves=True,
                next=following,
            ),
        )
        yield (
            occurrence,
            2,
            o.OccurrenceEnded(
                schedule=schedule,
                recipient_ref=ref,
                priority=2,
                outcome=o.Outcome.DELIVERED,
                reason="the channel accepted it",
                attempt=1,
                started_at=due_at,
                duration_ms=10.0,
                response={"status_code": 204},
            ),
        )

    return [
        NewEvent(
            stream,
            version,
            Meta(
                event_id=UUID(int=(number << 2) + step + (1 << 100)),
                tenant=_TENANT,
                shard=shard,
                actor="key:1",
                recorded_at=now,
                correlation_id=schedule,
            ),
            body,
        )
        for step, (stream, version, body) in enumerate(bodies())
    ]

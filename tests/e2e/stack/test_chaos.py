"""Three workers, two relays, an indexer, Kafka and Elasticsearch, struck again and again under load: nothing is lost.

Not a schedule, not a claim, not an outcome; and in the end PostgreSQL's read models and Elasticsearch's documents are
what a replay of the log gives, by checksums. `HORAE_CHAOS_RATE` sets the creations a second.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from horae.domain.audit import SlotSilent
from horae.infra.clock import SystemClock
from horae.infra.eventstore import PostgresEventStore
from horae.infra.indexing import open_reindex
from horae.infra.kafka.topics import topics_of
from horae.infra.rebuild import RebuildReport, rebuild
from horae.projections import schema
from horae.projections.queries import applied_position
from horae.projections.search.ports import KINDS
from horae.streams.auditor import Auditor, AuditorConfig
from horae.streams.metrics import Metrics
from tests.e2e.crash.judge import CountingReceiver, Deliveries, drained, judge, percentile
from tests.e2e.crash.load import Load
from tests.e2e.crash.marker import Marker
from tests.e2e.stack.chaos import Chaos, HandOver
from tests.e2e.stack.conftest import MakeHouse
from tests.e2e.stack.house import House
from tests.fixtures.topics import read_topic

SEED = 20261123
#: Of ten schedules one goes to a topic, the others to webhooks.
_WEBHOOKS = 9
CATCH_UP_S = 180.0
#: Creations a second of the run in `make test`, which has two other processes of tests beside it.
BOUNDED = 40.0
#: The long run: creations a second that are offered, creations and messages a second that must be carried, for so long.
OFFERED, CARRIED, LONG_S = 205.0, 200.0, 300.0


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run came to."""

    chaos: Chaos
    load: Load
    seen: Deliveries
    #: Messages that had come when the load was called off.
    fired: int
    outcomes: Mapping[str, int]
    by_kafka: int
    rebuilt: RebuildReport
    documents: int
    alarms: int

    @property
    def created_per_s(self) -> float:
        """Acknowledged, under load."""
        return len(self.load.acknowledged.once) / self.load.seconds

    @property
    def fired_per_s(self) -> float:
        """Messages by webhook and by Kafka, under load."""
        return self.fired / self.load.seconds

    def __str__(self) -> str:
        """For people."""
        chaos, load, late = self.chaos, self.load, self.seen.lateness_s
        fired, acked = self.seen.count.total(), len(load.acknowledged.once)
        silences = ", ".join(
            f"{name} {percentile(times, 0.5):.1f} s (at most {max(times):.1f})"
            for name, times in sorted(chaos.silence_s.items())
        )
        worst = ", ".join(f"{name} {late_s:.1f}" for name, late_s in sorted(chaos.worst_s().items()))
        handovers = "; ".join(f"{what}: {_handed(found)}" for what, found in sorted(chaos.handovers.items()))
        return (
            f"seed {SEED}: {load.seconds:.0f} s under load; creates: {load.rate:g}/s offered, {acked} acknowledged "
            f"({self.created_per_s:.0f}/s), {load.acknowledged.retries} retries; fires: {fired} "
            f"({self.fired_per_s:.0f}/s under load), {self.by_kafka} of them by Kafka, "
            f"{sum(count - 1 for count in self.seen.count.values())} more than once; outcomes {dict(self.outcomes)}; "
            f"faults {dict(chaos.struck)}, {chaos.records_lost} records lost by the broker; lateness p50 "
            f"{percentile(late, 0.5):.2f} s, p99 {percentile(late, 0.99):.2f} s, max {max(late):.2f} s "
            f"(by the last fault: {worst}); "
            f"from a worker's end to messages of its shards: {handovers}; from a fault's beginning to the next message "
            f"after it: {silences}; rebalances {chaos.total('horae_rebalances_total')}, gaps healed "
            f"{chaos.total('horae_feed_gaps_healed_total')}, duplicates skipped "
            f"{chaos.total('horae_feed_duplicates_total')}, positions found moved "
            f"{chaos.total('horae_feed_moved_total')}; {self.alarms} alarms of the auditor meanwhile, none at the end; "
            f"{self.rebuilt.events} events replayed into {sum(table.rows for table in self.rebuilt.tables)} rows, and "
            f"{self.documents} documents, all the same"
        )


def _handed(found: list[HandOver]) -> str:
    first = [each.first_s for each in found if each.first_s is not None]
    every = [each.each_s for each in found if each.each_s is not None]
    return (
        f"the first after {percentile(first, 0.5):.2f} s (at most {max(first, default=0):.2f}), one of each after "
        f"{percentile(every, 0.5):.2f} s (at most {max(every, default=0):.2f}), {len(found)} times"
    )


async def _run(make_house: MakeHouse, plan: Mapping[str, int], rate: float, search_away_s: float) -> Ran:
    async with CountingReceiver() as receiver:
        house = make_house(workers=3, relays=2, partitions=16)
        marker = Marker(house.folder / "reached")
        for relay in house.of("relay"):
            relay.environment = Chaos.relay_environment(marker)
        await house.start()
        chaos = Chaos(house, receiver, rate, random.Random(SEED), marker)
        channels = [*[receiver.channel] * _WEBHOOKS, "kafka:notifications-due"]
        async with Load(house.url, *channels, rate=rate) as load:
            await chaos.strike(plan, search_away_s)
            called_off, by_webhook = datetime.now(UTC), receiver.seen.count.total()
        marker.close()
        records = await drained(house, load.acknowledged)
        releases = await _released_by_kafka(house, receiver.seen)
        fired = by_webhook + sum(at <= called_off for at in releases)
        outcomes = judge(records, load.acknowledged, receiver.seen)
        documents, rebuilt = await _equal_a_replay(house)
        alarms = await _nothing_silent(house)
    # The faults did strike: the relay lost and doubled records, groups were rearranged, topics were released to.
    for sample in ("horae_feed_gaps_healed_total", "horae_feed_duplicates_total", "horae_rebalances_total"):
        assert chaos.total(sample) > 0, sample
    assert releases != []
    assert chaos.struck == Counter({**plan, "stop_search": 1})
    return Ran(chaos, load, receiver.seen, fired, outcomes, len(releases), rebuilt, documents, alarms)


async def _released_by_kafka(house: House, seen: Deliveries) -> list[datetime]:
    """Count what lies on the topic of releases as delivered; when each came there."""
    records = await read_topic(house.stack.kafka.bootstrap, topics_of(house.settings()).due)
    for record in records:
        seen.count[UUID(dict(record.headers)["occurrence-id"].decode())] += 1
    return [datetime.fromtimestamp(record.timestamp / 1000, UTC) for record in records]


async def _equal_a_replay(house: House) -> tuple[int, RebuildReport]:
    """Both read models are what the log says; how many documents there are, and what the replay came to."""
    settings = house.settings()

    async def caught_up() -> bool:
        conn = await schema.connect(settings.owner_dsn())
        try:
            head = await conn.fetchval("SELECT log.head()")
            searched = await conn.fetchval("SELECT min(position) FROM sys.search_positions")
            return bool(min(await applied_position(conn), searched) >= head)
        finally:
            await conn.close()

    await house.until_seen(caught_up, CATCH_UP_S, "read models and documents are at the log's end")
    async with open_reindex(settings) as reindex:
        compared = [await reindex.compare(kind) for kind in KINDS]
    assert [each for each in compared if not each.same or each.moving] == []
    rebuilt = await rebuild(settings.owner_dsn())
    assert (rebuilt.differing, rebuilt.parked) == ((), 0)
    assert all(table.same for table in rebuilt.tables)
    return sum(each.indexed.documents for each in compared), rebuilt


async def _nothing_silent(house: House) -> int:
    """The auditor, who shares nothing with the dispatchers, finds nothing; how often it found something meanwhile."""
    dsn = house.settings().owner_dsn()
    pool = await schema.create_pool(dsn)
    try:
        async with PostgresEventStore(dsn, readers=1) as store:
            auditor = Auditor(AuditorConfig(), pool, store, SystemClock(), Metrics(CollectorRegistry()))
            assert (await auditor.run_once()).silent == ()
    finally:
        await pool.close()
    (row,) = await house.ask("SELECT count(*) AS alarms FROM log.events WHERE topic = $1", SlotSilent.name)
    return int(row["alarms"])


def _rate(default: float) -> float:
    return float(os.environ.get("HORAE_CHAOS_RATE", default))


@pytest.mark.crash
@pytest.mark.timeout(1200)
@pytest.mark.covers("REL-03", "REL-13", "REL-18")
async def test_whatever_befalls_the_stack_nothing_is_lost_or_doubled(
    make_house: MakeHouse, record_property: Callable[[str, object], None]
) -> None:
    """Every fault at least once."""
    plan = {
        "kill_worker": 3,
        "stop_worker": 2,
        "freeze_worker": 3,
        "restart_broker": 1,
        "lose_tails": 1,
        "read_again": 1,
        "skip_to_end": 1,
        "widen": 1,
        "kill_relay": 1,
        "kill_relay_after_send": 1,
        "freeze_relays": 1,
    }
    record_property("report", str(await _run(make_house, plan, _rate(BOUNDED), search_away_s=15)))


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_whatever_befalls_the_stack_for_long(
    make_house: MakeHouse, record_property: Callable[[str, object], None]
) -> None:
    """For more than five minutes at 200 creations and messages a second; twenty workers are killed, twenty frozen."""
    plan = {
        "kill_worker": 20,
        "stop_worker": 4,
        "freeze_worker": 20,
        "restart_broker": 4,
        "lose_tails": 3,
        "read_again": 2,
        "skip_to_end": 2,
        "widen": 2,
        "kill_relay": 4,
        "kill_relay_after_send": 3,
        "freeze_relays": 2,
    }
    ran = await _run(make_house, plan, _rate(OFFERED), search_away_s=60)
    record_property("report", str(ran))
    assert ran.load.seconds >= LONG_S
    assert min(ran.created_per_s, ran.fired_per_s) >= CARRIED, str(ran)

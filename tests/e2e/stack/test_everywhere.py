"""A schedule's way to every place of the stack: over HTTP or Kafka in, on the topics, in PostgreSQL and Elasticsearch,
out by webhook and Kafka, and found by its words.

Each place is asked itself, by an ordinary consumer or client, beside the API. The servers are those of the test
process; `test_path.py` has an installation that brings its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord
from prometheus_client.parser import text_string_to_metric_families

from horae.infra.stack import ElasticsearchServer, KafkaServer
from horae.streams.messages import EventRecord, partition_of, read
from tests.e2e.live import Live, answered, fresh, of, running
from tests.e2e.profiles import STACK, Profile
from tests.e2e.receiver import Receiver
from tests.e2e.talking import KEY, PATIENCE_S

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.stack,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]

_LOOK_EVERY_S = 0.2


@dataclass
class Heard:
    """Everything on some topics, from their beginnings, as it comes."""

    records: list[ConsumerRecord] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def follow(self, consumer: AIOKafkaConsumer) -> None:
        """Note every record, until cancelled."""
        async for record in consumer:
            async with self.changed:
                self.records.append(record)
                self.changed.notify_all()

    async def first(self, wanted: Callable[[ConsumerRecord], bool]) -> ConsumerRecord:
        """The first record that `wanted` accepts, as soon as it is there."""
        try:
            async with asyncio.timeout(PATIENCE_S), self.changed:
                await self.changed.wait_for(lambda: any(map(wanted, self.records)))
        except TimeoutError:
            seen = "\n".join(f"{record.topic} {dict(record.headers)}" for record in self.records)
            raise AssertionError(f"it did not come; there is:\n{seen}") from None
        return next(filter(wanted, self.records))


@dataclass
class Whole:
    """An installation, and what lies behind its API."""

    live: Live
    kafka: str
    elasticsearch: str
    prefix: str
    index_prefix: str
    heard: Heard = field(default_factory=Heard)

    @asynccontextmanager
    async def listening(self, *topics: str) -> AsyncIterator[None]:
        """Hear these topics (without their prefix) meanwhile."""
        # Without a group: it changes nothing for anybody.
        consumer = AIOKafkaConsumer(
            *(self.prefix + topic for topic in topics), bootstrap_servers=self.kafka, auto_offset_reset="earliest"
        )
        await consumer.start()
        following = asyncio.create_task(self.heard.follow(consumer))
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await consumer.stop()

    async def document(self, kind: str, identity: str) -> dict[str, Any]:
        """The document in Elasticsearch itself, once it is there."""
        asked = {"query": {"term": {"id": identity}}}

        async def look() -> dict[str, Any] | None:
            async with httpx.AsyncClient(base_url=self.elasticsearch, timeout=PATIENCE_S) as client:
                answer = await client.post(f"/{self.index_prefix}-{kind}/_search", json=asked)
            # Its indices are made by the indexer, at its first start.
            hits = answer.json()["hits"]["hits"] if answer.is_success else []
            return hits[0]["_source"] if hits else None

        return await self.seen(look)

    async def found(self, count: int, **asked: Any) -> dict[str, Any]:
        """What /v1/search answers, once Elasticsearch finds so many."""

        async def look() -> dict[str, Any] | None:
            page = await self.live.get("/v1/search", **asked)
            return page if (page["total"], page["served_by"]) == (count, "elasticsearch") else None

        return await self.seen(look)

    async def seen(self, look: Callable[[], Awaitable[dict[str, Any] | None]]) -> dict[str, Any]:
        """What `look` gives, once there is something: of what can be found nothing tells."""
        never = asyncio.Event()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while (found := await look()) is None:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(never.wait(), _LOOK_EVERY_S)
        except TimeoutError:
            raise AssertionError(f"it is not there:\n{self.live.service.tail()}") from None
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(kafka: KafkaServer, elasticsearch: ElasticsearchServer) -> AsyncIterator[Whole]:
    """The installation: API, two workers, relay, indexer and PostgreSQL of its own."""
    async with running(Profile(STACK, kafka, elasticsearch)) as live:
        told = live.service.environment
        made = Whole(
            live,
            kafka.bootstrap,
            elasticsearch.url,
            told["HORAE_KAFKA_TOPIC_PREFIX"],
            told["HORAE_ELASTICSEARCH_PREFIX"],
        )
        topics = ("horae-log", "notification-schedules", "schedule-executions")
        async with made.listening(*topics, "notifications-due", "schedule-command-replies", "engagement-events-dead"):
            yield made


@pytest.mark.covers("EXT-15", "EXT-19", "EXT-24")
async def test_what_was_asked_for_is_in_every_place(whole: Whole, hooks: Receiver) -> None:
    """One schedule to a webhook: on the log's topic and the public one, in PostgreSQL, in Elasticsearch; it fires, and
    its end is on the other public topic; it is found, with its words marked."""
    word, recipient = fresh("word").replace("-", ""), fresh()
    content = {"subject": f"Your quarterly report {word}"}
    created = await whole.live.create(recipient=recipient, channel=hooks.channel, content=content, tags=["reports"])
    schedule = created["id"]

    record = await whole.heard.first(lambda r: r.topic.endswith("horae-log") and header(r, "stream") == schedule)
    event = read(record.headers, record.value)
    assert isinstance(event, EventRecord)
    assert (event.event, event.position, event.version) == ("schedule.created.v1", created["position"], 1)
    assert event.previous < event.position
    assert (record.key, record.partition) == (str(event.shard).encode(), partition_of(event.shard, 4))

    copy = await whole.heard.first(lambda r: r.topic.endswith("notification-schedules") and r.key == schedule.encode())
    assert (header(copy, "ce_type"), header(copy, "ce_subject")) == ("schedule.created.v1", schedule)
    assert header(copy, "position") == str(created["position"])
    for personal in (recipient, word, hooks.channel):
        assert personal.encode() not in copy.value

    (request,) = await hooks.received(1)
    assert (request.json["schedule_id"], request.json["content"]) == (schedule, content)
    await whole.live.ended(schedule)
    end = await whole.heard.first(
        lambda r: (
            r.topic.endswith("schedule-executions")
            and r.key == schedule.encode()
            and header(r, "ce_type") == "occurrence.ended.v1"
        )
    )
    assert json.loads(end.value)["data"]["outcome"] == "delivered"

    conn = await whole.live.service.connect()
    try:
        row = await conn.fetchrow("SELECT recipient, channel, content FROM read.schedules WHERE id = $1", schedule)
        ended = await conn.fetchval("SELECT status FROM read.occurrences WHERE id = $1", request.occurrence)
    finally:
        await conn.close()
    assert row is not None
    assert (row["recipient"], row["channel"], json.loads(row["content"])) == (recipient, hooks.channel, content)
    assert ended == "delivered"

    document = await whole.document("schedules", schedule)
    assert (document["tags"], document["channel_kind"]) == (["reports"], "webhook")
    page = await whole.found(1, q=f"report {word}", status="completed")
    (hit,) = page["items"]
    assert (hit["kind"], hit["id"]) == ("schedule", schedule)
    marked = {highlight["field"]: highlight["html"] for highlight in hit["highlights"]}
    assert marked["content.subject"] == f"Your quarterly <mark>report</mark> <mark>{word}</mark>"
    assert (await whole.found(1, q=word, kind="occurrence"))["items"][0]["id"] == request.occurrence


@pytest.mark.covers("DSP-20", "INT-17")
async def test_a_release_by_kafka_is_read_by_an_ordinary_consumer(whole: Whole) -> None:
    """Keyed by its recipient, named by its occurrence, on the topic that the channel names; once."""
    recipient = fresh()
    created = await whole.live.create(recipient=recipient, channel="kafka:notifications-due", content={"n": 7})
    release = await whole.heard.first(
        lambda r: r.topic.endswith("notifications-due") and header(r, "schedule-id") == created["id"]
    )
    await whole.live.ended(created["id"])
    (occurrence,) = await whole.live.occurrences(created["id"])
    assert (release.key, header(release, "occurrence-id")) == (recipient.encode(), occurrence["id"])
    assert (header(release, "ce_id"), header(release, "attempt")) == (occurrence["id"], "1")
    assert json.loads(release.value)["content"] == {"n": 7}
    assert (occurrence["status"], occurrence["attempts"]) == ("delivered", 1)


@pytest.mark.covers("INT-17")
async def test_a_command_by_kafka_is_carried_out_once_and_answered(whole: Whole, hooks: Receiver) -> None:
    """Created by a message, twice the same: one schedule, which fires; both are answered on the replies' topic."""
    name, subject = fresh("command"), fresh("word").replace("-", "")
    body = {"recipient": fresh(), "channel": hooks.channel, "content": {"s": subject}, "timing": {"kind": "now"}}
    message = json.dumps({"id": name, "command": "create", "body": body}).encode()
    producer = AIOKafkaProducer(bootstrap_servers=whole.kafka, enable_idempotence=True)
    await producer.start()
    try:
        for _ in range(2):
            headers = [("authorization", f"Bearer {KEY}".encode())]
            await producer.send_and_wait(f"{whole.prefix}schedule-commands", message, b"ann", headers=headers)
    finally:
        await producer.stop()

    def replies() -> list[dict[str, Any]]:
        found = [json.loads(r.value) for r in whole.heard.records if r.topic.endswith("schedule-command-replies")]
        return [reply for reply in found if reply["id"] == name]

    await whole.heard.first(lambda _: len(replies()) == 2)
    assert [reply["status"] for reply in replies()] == [201, 201]
    (schedule,) = {reply["done"]["schedule"] for reply in replies()}
    (request,) = await hooks.received(1)
    assert (request.json["schedule_id"], request.json["content"]) == (schedule, {"s": subject})
    assert len(await whole.live.events(of(schedule, "schedule.created.v1"))) == 1
    assert (await whole.found(1, q=subject))["items"][0]["id"] == schedule


@pytest.mark.covers("INT-17", "OPT-08")
async def test_engagement_by_kafka_is_in_the_history_and_learnt_from(whole: Whole) -> None:
    """An answer and activity, the answer twice: once in the occurrence's story, and evidence for the recipient's best
    times; what names no occurrence lies on the dead letters' topic."""
    recipient = fresh()
    created = await whole.live.create(recipient=recipient, channel="log:")
    await whole.live.ended(created["id"])
    (occurrence,) = await whole.live.occurrences(created["id"])
    # Clocks of others may be ahead of ours; what is opened at once is taken for a machine's doing.
    at = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    opened = {"id": fresh("opened"), "kind": "opened", "at": at, "occurrence_id": occurrence["id"]}
    active = {"id": fresh("active"), "kind": "active", "at": at, "recipient": recipient}
    nobody = opened | {"id": fresh("nobody"), "occurrence_id": created["id"]}
    producer = AIOKafkaProducer(bootstrap_servers=whole.kafka, enable_idempotence=True)
    await producer.start()
    try:
        for report in (opened, opened, active, nobody):
            headers = [("authorization", f"Bearer {KEY}".encode())]
            value = json.dumps(report).encode()
            await producer.send_and_wait(f"{whole.prefix}engagement-events", value, b"ann", headers=headers)
    finally:
        await producer.stop()

    dead = await whole.heard.first(lambda r: r.topic.endswith("engagement-events-dead"))
    assert (json.loads(dead.value), header(dead, "dead-status")) == (nobody, "404")

    async def learnt() -> dict[str, Any] | None:
        evidence: dict[str, Any] = (await whole.live.get(f"/v1/recipients/{recipient}/best-times"))["evidence"]
        return evidence if evidence["active"] > 0 else None

    await whole.seen(learnt)

    async def told() -> dict[str, Any] | None:
        shown: dict[str, Any] | None = (await whole.live.get(f"/v1/occurrences/{occurrence['id']}"))["engagement"]
        return shown

    assert (await whole.seen(told))["answered"] is True
    story = (await whole.live.get(f"/v1/occurrences/{occurrence['id']}/explain"))["story"]
    assert sum("opened it" in line for line in story) == 1


@pytest.mark.covers("OBS-06", "OBS-11", "OBS-27")
async def test_the_parts_of_the_stack_are_told(whole: Whole) -> None:
    """/readyz names Kafka, relay, workers and search, all healthy; /metrics has the figures of each."""
    created = await whole.live.create()
    await whole.live.ended(created["id"])

    async def healthy() -> dict[str, Any] | None:
        told = answered(await whole.live.client.get("/readyz"), 200)
        return told if told["status"] == "healthy" else None

    checks = (await whole.seen(healthy))["checks"]
    assert {name for name, check in checks.items() if check["status"] == "healthy"} >= {
        *("database", "executor", "kafka", "relay", "search"),
    }
    assert checks["executor"]["details"]["activeWorkers"] == 2
    assert checks["kafka"]["details"]["brokers"] == 1

    async def measured() -> dict[str, Any] | None:
        text = (await whole.live.client.get("/metrics")).text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        found = {sample.name: sample.value for sample in samples}
        by_kafka = sum(
            s.value for s in samples if s.name == "horae_feed_events_total" and s.labels.get("road") == "kafka"
        )
        done = by_kafka and min(found.get(name, 0) for name in ("horae_relay_position", "horae_search_position"))
        return found if done and done >= created["position"] else None

    found = await whole.seen(measured)
    assert found["horae_relay_published_records_total"] > 0
    assert found["horae_search_documents_total"] > 0
    assert found["horae_search_failing"] == 0


def header(record: ConsumerRecord, name: str) -> str | None:
    """A header's text."""
    value = dict(record.headers).get(name)
    return value.decode() if value is not None else None

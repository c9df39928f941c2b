"""Schedules that are created while something happens to a service, how late each came out, and that it came once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx

from tests.e2e.harness import Service
from tests.e2e.receiver import Receiver
from tests.e2e.stack.truth import figures, seen
from tests.fixtures.topics import read_topic

#: What is released to Kafka waits for it as long as a test may last.
PATIENT = {"retry": {"strategy": "fixed", "retries": 20, "delay": "PT8S"}}


class Errands:
    """Everything that one test asks of a service, by HTTP; `word` stands in each schedule's content and tags."""

    def __init__(self, service: Service, client: httpx.AsyncClient, receiver: Receiver, word: str) -> None:
        self.service, self.client, self.receiver, self.word = service, client, receiver, word
        #: Ids of what was accepted, by channel.
        self.hooks: list[str] = []
        self.topical: list[str] = []

    async def hook(self, count: int) -> list[str]:
        """Create so many that are due at once, one after the other; their ids, when all have come."""
        made = [await self._create(self.receiver.channel) for _ in range(count)]
        self.hooks += made
        try:
            await self.receiver.received(len(self.hooks))
        except TimeoutError:
            found = len(self.receiver.requests)
            raise AssertionError(f"{found} of {len(self.hooks)} have come\n{self.service.tail()}") from None
        return made

    async def topic(self, count: int) -> None:
        """Create so many for Kafka; they go out when it is there."""
        self.topical += [await self._create("kafka:notifications-due", delivery=PATIENT) for _ in range(count)]

    async def _create(self, channel: str, **fields: Any) -> str:
        own = {"recipient": f"user-{len(self.hooks)}", "content": {"subject": self.word}, "tags": [self.word]}
        answer = await self.service.create(self.client, channel=channel, **own, **fields)
        return str(answer["id"])

    def lateness(self, ids: Sequence[str]) -> str:
        """From due to release, of these."""
        late = sorted(late_s(request.json) for request in self.receiver.requests if request.json["schedule_id"] in ids)
        assert len(late) == len(ids)
        return f"{len(late)} fired, late p50 {late[len(late) // 2]:.2f} s, max {late[-1]:.2f} s"

    async def once(self) -> None:
        """Everything is delivered, by the read models; nothing was lost, nothing came twice, on webhook and topic."""

        async def delivered() -> bool:
            asked: dict[str, str | int] = {"tag": self.word, "status": "completed", "limit": 500}
            answer = await self.client.get("/v1/schedules", params=asked)
            return sorted(item["id"] for item in answer.json()["items"]) == sorted(self.hooks + self.topical)

        await seen(delivered, "everything is delivered", self.service)
        assert sorted(request.json["schedule_id"] for request in self.receiver.requests) == sorted(self.hooks)
        if self.topical:
            environment = self.service.environment
            topic = f"{environment['HORAE_KAFKA_TOPIC_PREFIX']}notifications-due"
            records = await read_topic(environment["KAFKA_BROKERS"], topic)
            released = [json.loads(record.value)["schedule_id"] for record in records]
            assert sorted(each for each in released if each in self.topical) == sorted(self.topical)

    async def found(self) -> tuple[str, int]:
        """Who answers a search for our word, and how many it finds."""
        answer = await self.client.get("/v1/search", params={"q": self.word, "limit": 1})
        assert answer.status_code == 200, answer.text
        shown = answer.json()
        return shown["served_by"], shown["total"]

    async def finds(self, engine: str, total: int) -> None:
        """Return when this engine answers, and finds so many."""

        async def look() -> bool:
            return await self.found() == (engine, total)

        await seen(look, f"{engine} finds {total}", self.service)

    # --- what the service says of itself ---

    async def degraded(self, *components: str) -> None:
        """Return when /readyz and /metrics name these as degraded, no others, and it is ready all the same.

        Without any: when all is healthy, Kafka feeds every shard, and has all of the log.
        """

        async def look() -> bool:
            answer, told = await self.client.get("/readyz"), await figures(self.client)
            shown = answer.json()
            checks = {name: each["status"] for name, each in shown["checks"].items()}
            named = {name for name, status in checks.items() if status not in ("healthy", "absent")}
            half = {name for name in checks if told.get(name) == 0.5}
            on_the_road = told.get("horae_shards_fed_directly") == 0 and told.get("horae_relay_lag_positions") == 0
            return (
                (answer.status_code, shown["status"]) == (200, "degraded" if components else "healthy")
                and named == half == {*components}
                and len(shown["reasons"]) == len(components)
                and (on_the_road or bool(components))
            )

        await seen(look, f"degraded are {components}, and nothing else", self.service)


def late_s(release: dict[str, Any]) -> float:
    """How long after its due instant it was released."""
    due, released = (datetime.fromisoformat(release[name]) for name in ("due_at", "released_at"))
    return (released - due).total_seconds()

"""Schedules that are created while something happens to a house, and how late each came out, and that it came once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx

from tests.e2e.receiver import Receiver
from tests.e2e.stack.house import House
from tests.fixtures.topics import read_topic

TOPIC = "notifications-due"
#: So long an absence is waited for by what is released to Kafka.
PATIENT = {"retry": {"strategy": "fixed", "retries": 300, "delay": "PT1S"}}


class Errands:
    """Everything that one test asks of a house, by HTTP; `word` stands in each schedule's content."""

    def __init__(self, house: House, client: httpx.AsyncClient, receiver: Receiver, word: str) -> None:
        self.house, self.client, self.receiver, self.word = house, client, receiver, word
        #: Ids of what was accepted, by channel.
        self.hooks: list[str] = []
        self.topical: list[str] = []

    async def hook(self, count: int) -> list[str]:
        """Create so many that are due at once, one after the other, and return their ids when all have come."""
        made = [await self._create(self.receiver.channel) for _ in range(count)]
        self.hooks += made
        await self.arrived()
        return made

    async def arrived(self) -> None:
        """Return when each webhook so far has come."""
        try:
            await self.receiver.received(len(self.hooks))
        except TimeoutError:
            found = len(self.receiver.requests)
            raise AssertionError(f"{found} of {len(self.hooks)} have come\n{self.house.tail()}") from None

    async def topic(self, count: int) -> None:
        """Create so many for Kafka; they go out when it is there."""
        self.topical += [await self._create(f"kafka:{TOPIC}", delivery=PATIENT) for _ in range(count)]

    async def _create(self, channel: str, **fields: Any) -> str:
        answer = await self.house.create(
            self.client,
            recipient=f"user-{len(self.hooks)}",
            channel=channel,
            content={"subject": self.word},
            tags=[self.word],
            **fields,
        )
        return str(answer["id"])

    def lateness(self, ids: Sequence[str]) -> str:
        """From due to release, of these."""
        late = sorted(late_s(request.json) for request in self.receiver.requests if request.json["schedule_id"] in ids)
        assert len(late) == len(ids)
        return f"{len(late)} fired, late p50 {late[len(late) // 2]:.2f} s, max {late[-1]:.2f} s"

    async def once(self) -> None:
        """Nothing was lost, nothing came twice: on the webhook and on the topic."""
        assert sorted(request.json["schedule_id"] for request in self.receiver.requests) == sorted(self.hooks)
        if self.topical:
            records = await read_topic(self.house.settings().kafka_brokers, TOPIC)
            released = [json.loads(record.value)["schedule_id"] for record in records]
            assert sorted(each for each in released if each in self.topical) == sorted(self.topical)

    async def ended(self) -> None:
        """Return when the read models show everything as delivered."""

        async def look() -> bool:
            answer = await self.client.get(
                "/v1/schedules", params={"tag": self.word, "status": "completed", "limit": 500}
            )
            found = [item["id"] for item in answer.json()["items"]]
            return sorted(found) == sorted(self.hooks + self.topical)

        await self.house.until_seen(look, what="everything is delivered")

    # --- what the house says ---

    async def health(self) -> dict[str, str]:
        """What /readyz says of each component, and `status` of all together; `http` is the answer's own status."""
        answer = await self.client.get("/readyz")
        shown = answer.json()
        return {name: each["status"] for name, each in shown["checks"].items()} | {
            "status": shown["status"],
            "http": str(answer.status_code),
        }

    async def found(self) -> tuple[str, int]:
        """Who answers a search for our word, and how many it finds."""
        answer = await self.client.get("/v1/search", params={"q": self.word, "limit": 1})
        assert answer.status_code == 200, answer.text
        shown = answer.json()
        return shown["served_by"], shown["total"]


def late_s(release: dict[str, Any]) -> float:
    """How long after its due instant it was released."""
    due, released = (datetime.fromisoformat(release[name]) for name in ("due_at", "released_at"))
    return (released - due).total_seconds()


async def in_thread(work: Any) -> float:
    """Run what blocks; how long it took, in seconds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.to_thread(work)
    return loop.time() - began

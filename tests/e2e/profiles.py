"""The two profiles that the end-to-end tests run in, from one source: how each is asked for, and what is left of it.

The stack's services of one test process share a broker and a search server, which take long to start; each keeps to
topics, a consumer group and indices of its own. (In `tests/e2e/stack` installations bring their own servers.)
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import count
from typing import Final

import httpx
from aiokafka.admin import AIOKafkaAdminClient

from horae.infra.stack import ElasticsearchServer, KafkaServer

EMBEDDED: Final = "embedded"
STACK: Final = "stack"

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Profile:
    """`embedded`, which needs nothing besides; or `stack`, on these servers."""

    name: str = EMBEDDED
    kafka: KafkaServer | None = None
    elasticsearch: ElasticsearchServer | None = None

    def __str__(self) -> str:
        return self.name

    def environment(self) -> dict[str, str]:
        """What one more installation is told, which shares nothing with any other but the servers."""
        if self.kafka is None or self.elasticsearch is None:
            return {"HORAE_PROFILE": self.name}
        # A test may have killed them.
        self.kafka.start()
        self.elasticsearch.start()
        prefix = f"e{os.getpid()}-{next(_numbers)}-"
        return {
            "HORAE_PROFILE": self.name,
            "KAFKA_BROKERS": self.kafka.bootstrap,
            "HORAE_KAFKA_TOPIC_PREFIX": prefix,
            "KAFKA_CONSUMER_GROUP": f"{prefix}workers",
            # Two workers need no more, and the broker holds those of many installations.
            "HORAE_KAFKA_PARTITIONS": "4",
            "ELASTICSEARCH_URL": self.elasticsearch.url,
            "HORAE_ELASTICSEARCH_PREFIX": f"{prefix}search",
        }

    def workers(self, clock: str | None) -> int:
        """How many show what there is to see: several share the work of the stack, but not virtual time."""
        return 2 if self.name == STACK and clock is None else 1

    async def forget(self, environment: dict[str, str]) -> None:
        """Take away what an installation that has ended left on the servers."""
        if self.kafka is None or self.elasticsearch is None:
            return
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        await admin.start()
        try:
            prefix = environment["HORAE_KAFKA_TOPIC_PREFIX"]
            await admin.delete_topics([topic for topic in await admin.list_topics() if topic.startswith(prefix)])
        finally:
            await admin.close()
        async with httpx.AsyncClient(base_url=self.elasticsearch.url, timeout=30.0) as client:
            found = (await client.get(f"/{environment['HORAE_ELASTICSEARCH_PREFIX']}*")).raise_for_status().json()
            if found:
                (await client.delete(f"/{','.join(found)}")).raise_for_status()

"""What `horae migrate` does beyond the database: the topics of the stack profile.

Place in the flow: CLI -> *here* -> `infra/kafka/topics.py`; processes then find every topic with its partitions.
"""

from __future__ import annotations

import asyncio

from horae.domain.errors import Unavailable
from horae.infra.setting_sources import SettingsError
from horae.infra.settings import Settings


def make_topics(settings: Settings) -> list[str]:
    """Make the topics that are missing and add partitions; gives what differs from the settings and was left so.

    Waits for Kafka as long as the settings say work waits for a server. Raises `Unavailable`, or `SettingsError` when
    the cluster refuses a topic.
    """
    from horae.infra.kafka.topics import TopicsError, ensure_when_there

    async def work() -> list[str]:
        async with asyncio.timeout(settings.postgres_connection_timeout_ms / 1000):
            report = await ensure_when_there(settings)
        return [str(difference) for difference in report.differences]

    try:
        return asyncio.run(work())
    except TimeoutError:
        raise Unavailable(
            f"Kafka at {settings.kafka_brokers} does not answer; the database is at this version already.",
            hint="Does it run, and does KAFKA_BROKERS point to it? Then run this again.",
        ) from None
    except TopicsError as error:
        raise SettingsError(str(error)) from None

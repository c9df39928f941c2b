"""Makes the topics that an installation needs, adds partitions, and tells where the cluster differs from the settings.

Place in the flow: every process of the stack profile, before it produces or consumes: a topic that is named too early
is made by the broker itself, with one partition. Never takes anything away: fewer partitions, or another retention, is
the administrator's decision.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidPartitionsError, KafkaError, KafkaTimeoutError, TopicAlreadyExistsError, for_code

from horae.infra.kafka.security import security_of, told
from horae.infra.settings import Settings
from horae.streams.topics import Topics

_REQUEST_MS = 10_000
_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0
#: How often a change is looked for, with doubling pauses: about five seconds.
_LOOKS, _LOOK_AGAIN_S = 8, 0.02
_ALREADY_THERE = TopicAlreadyExistsError.errno

_log = structlog.get_logger(__name__)


class TopicsError(Exception):
    """The cluster refuses a topic; the message names it, the cluster's reason and what to do."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as the settings say, and that we do not change."""

    topic: str
    what: str
    wanted: str
    found: str

    def __str__(self) -> str:
        """For the log and for people."""
        return f"topic {self.topic}: {self.what} is {self.found}, the settings say {self.wanted}"


@dataclass(slots=True)
class Report:
    """What `ensure` did and found."""

    made: list[str] = field(default_factory=list)
    #: Topic -> (partitions before, now).
    widened: dict[str, tuple[int, int]] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)


def topics_of(settings: Settings) -> Topics:
    """The names that the settings give."""
    return Topics.named(settings.kafka_topic_prefix, settings.kafka_topic_schedules, settings.kafka_topic_executions)


def names_of(settings: Settings) -> tuple[str, ...]:
    """Every topic that the installation needs, with those that `kafka:` channels may name."""
    releases = (settings.kafka_topic_prefix + topic for topic in sorted(settings.offered.kafka_topics))
    return tuple(dict.fromkeys((*topics_of(settings).all(), *releases)))


def configuration_of(settings: Settings) -> dict[str, str]:
    """How each topic is made: events are deleted by age, and count as sent when enough replicas have them."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(round(settings.kafka_retention_h * 3_600_000)),
        "min.insync.replicas": str(settings.kafka_min_in_sync),
    }


async def ensure(settings: Settings, only: Iterable[str] | None = None) -> Report:
    """Make what is missing, add partitions where there are fewer, compare the rest; all can be used when it returns.

    Safe to run from several processes at once. Raises `TopicsError`, or aiokafka's errors while the cluster is away.
    """
    names = list(only) if only is not None else list(names_of(settings))
    admin = AIOKafkaAdminClient(
        bootstrap_servers=settings.kafka_brokers,
        client_id="horae-topics",
        request_timeout_ms=_REQUEST_MS,
        **security_of(settings).options(),
    )
    report = Report()
    try:
        await admin.start()
        await _make_missing(admin, names, settings, report)
        await _widen(admin, names, settings, report)
        await _compare(admin, names, settings, report)
    finally:
        await admin.close()
    for name in report.made:
        _log.info("topic_made", topic=name, partitions=settings.kafka_partitions)
    for name, (before, now) in report.widened.items():
        _log.info("partitions_added", topic=name, before=before, now=now)
    for difference in report.differences:
        _log.warning("topic_differs", topic=difference.topic, problem=str(difference))
    return report


async def ensure_when_there(settings: Settings) -> Report:
    """`ensure`, asked again for as long as the cluster is away. Raises `TopicsError`."""
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            return await ensure(settings)
        except (KafkaError, OSError, TimeoutError) as error:
            brokers = settings.kafka_brokers
            _log.warning("kafka_away", brokers=brokers, error=await told(error, brokers, security_of(settings)))
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


async def _make_missing(admin: Any, names: list[str], settings: Settings, report: Report) -> None:
    # Not by asking for these topics: a broker may make a topic because it was asked about.
    there = set(await admin.list_topics())
    missing = [name for name in names if name not in there]
    if not missing:
        return
    new = [
        NewTopic(name, settings.kafka_partitions, settings.kafka_replication, topic_configs=configuration_of(settings))
        for name in missing
    ]
    answer = await admin.create_topics(new)
    for name, code, *rest in answer.topic_errors:
        if code == 0:
            report.made.append(name)
        elif code != _ALREADY_THERE:  # another process was faster
            error = for_code(code)
            if getattr(error, "retriable", False):
                raise error(f"could not make topic {name}")
            reason = (rest[0] if rest else None) or error.description
            raise TopicsError(
                f"Kafka does not make topic {name}: {reason} Check HORAE_KAFKA_REPLICATION "
                f"({settings.kafka_replication}) against the number of brokers, and our rights to make topics."
            )


async def _partitions(admin: Any, names: list[str], at_least: int) -> dict[str, list[dict[str, Any]]]:
    """The topics' partitions, once each shows so many: brokers learn one after another of what was just made."""
    wait_s = _LOOK_AGAIN_S
    for _ in range(_LOOKS):
        found = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics(names)}
        if all(len(partitions) >= at_least for partitions in found.values()):
            return found
        await asyncio.sleep(wait_s)
        wait_s *= 2
    few = sorted(name for name, partitions in found.items() if len(partitions) < at_least)
    raise KafkaTimeoutError(f"the brokers do not show {at_least} partitions of {', '.join(few)} yet")


async def _widen(admin: Any, names: list[str], settings: Settings, report: Report) -> None:
    for name, partitions in (await _partitions(admin, names, 1)).items():
        if len(partitions) >= settings.kafka_partitions:
            continue
        try:
            await admin.create_partitions({name: NewPartitions(settings.kafka_partitions)})
        except InvalidPartitionsError:  # another process was faster
            continue
        report.widened[name] = (len(partitions), settings.kafka_partitions)


async def _compare(admin: Any, names: list[str], settings: Settings, report: Report) -> None:
    found = await _partitions(admin, names, settings.kafka_partitions)
    old = [name for name in names if name not in report.made]
    if not old:
        return
    for name, partitions in ((name, found[name]) for name in old):
        if len(partitions) > settings.kafka_partitions:
            report.differences.append(
                Difference(name, "the number of partitions", str(settings.kafka_partitions), str(len(partitions)))
            )
        replicas = min((len(partition["replicas"]) for partition in partitions), default=settings.kafka_replication)
        if replicas != settings.kafka_replication:
            report.differences.append(
                Difference(name, "the replication", str(settings.kafka_replication), str(replicas))
            )
    wanted = configuration_of(settings)
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(wanted)) for name in old]
    for answer in await admin.describe_configs(resources):
        for _, _, _, name, entries in answer.resources:
            values = {entry[0]: entry[1] for entry in entries}
            report.differences += [
                Difference(name, key, value, str(values[key]))
                for key, value in wanted.items()
                if key in values and values[key] != value
            ]

"""A cluster that lets nobody in without TLS and credentials: all of ours get in, and say why if not."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiokafka.errors import KafkaError
from pydantic import SecretStr

from horae.domain.channel import Kafka
from horae.domain.errors import Unavailable
from horae.infra.channels.kafka import KafkaChannel
from horae.infra.faust.app import add_log_agent, make_app
from horae.infra.kafka import topics as topics_module
from horae.infra.kafka.commanding import serve
from horae.infra.kafka.publisher import KafkaPublisher
from horae.infra.kafka.security import security_of
from horae.infra.kafka.topics import ensure, ensure_when_there, topics_of
from horae.infra.outside import ask_kafka
from horae.infra.settings import Settings
from horae.streams.relay import Message
from tests.api.world import DAILY, make_world
from tests.contracts.channel import release_to
from tests.contracts.publisher import message
from tests.fixtures.postgres import Database
from tests.fixtures.secured import PASSWORD, USER, Certificates, SecuredKafka
from tests.fixtures.topics import read_topic
from tests.infra.faust.riding import Ride, Taker
from tests.infra.kafka.conftest import lying_on
from tests.infra.kafka.test_relay_on_kafka import moved, relay_process
from tests.streams.relaying import events, stage_on

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

WAYS = ("SCRAM-SHA-512", "PLAIN", "certificate")


class Installation:
    """Settings of an installation with topics of its own, by one way into the cluster."""

    def __init__(self, kafka: SecuredKafka, certificates: Certificates, prefix: str, data: Path, dsn: str) -> None:
        self.kafka, self.certificates = kafka, certificates
        self._common: dict[str, Any] = {
            "profile": "stack",
            "kafka_topic_prefix": prefix,
            "kafka_consumer_group": f"{prefix}group",
            "kafka_partitions": 2,
            "data": data,
            "dsn": SecretStr(dsn),
        }

    def settings(self, way: str = WAYS[0], **other: Any) -> Settings:
        """By this way; `other` settings replace those of the same name."""
        given: dict[str, Any] = {"kafka_ca_file": self.certificates.authority}
        if way == "certificate":
            given |= {"kafka_security": "SSL", "kafka_certificate_file": self.certificates.ours}
        else:
            given |= {"kafka_security": "SASL_SSL", "kafka_sasl_mechanism": way}
            given |= {"kafka_username": USER, "kafka_password": SecretStr(PASSWORD)}
        brokers = self.kafka.at("mutual" if way == "certificate" else "secure")
        return Settings(**{"kafka_brokers": brokers, **self._common, **given, **other})


@pytest.fixture
def installation(
    secured_kafka: SecuredKafka, certificates: Certificates, topic_prefix: str, tmp_path: Path, database: Database
) -> Installation:
    """On the test process's broker."""
    return Installation(secured_kafka, certificates, topic_prefix, tmp_path, database.owner_dsn)


async def health(settings: Settings) -> dict[str, Any]:
    """What the health check finds, with more patience for a busy machine than the check itself has."""
    while True:
        try:
            return await ask_kafka(settings)
        except Unavailable as error:
            if "Timeout" not in str(error):
                raise


@pytest.mark.covers("SEC-23")
@pytest.mark.parametrize("way", WAYS)
async def test_what_is_published_by_tls_arrives_at_the_agents(installation: Installation, way: str) -> None:
    """Topics, the relay's producer, the health check and Faust's consumer, by each way of showing who one is."""
    settings = installation.settings(way)
    await ensure(settings)
    assert await health(settings) == {"brokers": 1}
    log, take = topics_of(settings).log, Taker()

    def make() -> Any:
        app = make_app(settings)
        add_log_agent(app, log, take, 100)
        return app

    ride = Ride(settings, log, make)
    try:
        await ride.until(2)
        async with KafkaPublisher(settings.kafka_brokers, security=security_of(settings)) as publisher:
            await publisher.publish([message(log, "k", "a", 0), message(log, "k", "b", 1)])
        await take.until(2)
    finally:
        await ride.end()
    assert sorted(take.values) == [b"a", b"b"]


async def test_releases_and_commands_go_by_tls(installation: Installation, database: Database) -> None:
    """A release is on its topic; a command is carried out and replied to."""
    settings = installation.settings()
    await ensure(settings)
    security, topics = security_of(settings), topics_of(settings)
    channel = KafkaChannel(
        settings.kafka_brokers,
        settings.offered.kafka_topics,
        prefix=settings.kafka_topic_prefix,
        security=security,
    )
    await channel.release(release_to(Kafka("notifications-due")))
    await channel.aclose()
    # The broker itself is asked in the clear, which this machine alone can.
    plain = installation.kafka.bootstrap
    assert len(await read_topic(plain, f"{settings.kafka_topic_prefix}notifications-due")) == 1

    async with make_world(database) as world:
        serving = asyncio.create_task(serve(world.app, settings))
        try:
            command = {"id": "c", "command": "create", "body": DAILY}
            headers = [("authorization", f"Bearer {world.key}".encode())]
            async with KafkaPublisher(settings.kafka_brokers, security=security) as publisher:
                await publisher.publish([Message(topics.commands, b"ann", json.dumps(command).encode(), headers)])
            while not (found := await read_topic(plain, topics.replies)):
                pass
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
    assert json.loads(found[0].value)["status"] == 201


async def test_the_real_relay_is_told_by_its_environment(installation: Installation, database: Database) -> None:
    """`horae relay` with the settings' names, as a chart gives them."""
    settings = installation.settings()
    async with stage_on(database.owner_dsn, KafkaPublisher("nowhere:1")) as stage:
        head = await stage.append(*range(10))
    environment = {
        "HORAE_KAFKA_SECURITY": settings.kafka_security,
        "HORAE_KAFKA_USERNAME": USER,
        "HORAE_KAFKA_PASSWORD": PASSWORD,
        "HORAE_KAFKA_CA_FILE": str(settings.kafka_ca_file),
    }
    async with relay_process(settings, **environment):
        await moved(database, head)
    log = await lying_on(installation.kafka.bootstrap, topics_of(settings).log, 2)
    assert sorted(record.position for record in events(log)) == list(range(1, head + 1))


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"kafka_password": SecretStr("wrong")}, "SaslAuthenticationFailed|Authentication failed"),
        ({"kafka_sasl_mechanism": "SCRAM-SHA-256"}, "UnsupportedSaslMechanism"),
        ({"kafka_ca_file": "stranger"}, "certificate verify failed"),
    ],
    ids=["password", "mechanism", "authority"],
)
async def test_who_is_not_let_in_is_told_why(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any], reason: str
) -> None:
    """In the health report and in the log, where "cannot be reached" would send people to look at the network."""
    if "kafka_ca_file" in other:
        other = {"kafka_ca_file": installation.certificates.stranger}
    settings = installation.settings(**other)
    with pytest.raises(Unavailable, match=reason):
        await health(settings)
    heard = asyncio.Event()
    lines: list[str] = []

    def listen(_: object, __: str, event: Any) -> Any:
        lines.append(str(event))
        if event["event"] == "kafka_away" and "Timeout" not in event["error"]:
            heard.set()
        raise structlog.DropEvent

    with monkeypatch.context() as patched:
        patched.setattr(topics_module, "_log", structlog.wrap_logger(None, processors=[listen]))
        waiting = asyncio.create_task(ensure_when_there(settings))
        await heard.wait()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert re.search(reason, lines[-1])
    assert PASSWORD not in str(lines)


async def test_who_speaks_in_the_clear_is_not_understood(installation: Installation) -> None:
    """Settings that forget TLS get an error, and do not wait for ever."""
    brokers = installation.kafka.at("secure")
    with pytest.raises((KafkaError, OSError, TimeoutError)):
        async with asyncio.timeout(60):
            await ensure(Settings(kafka_brokers=brokers))

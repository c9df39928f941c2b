"""The test's own channel keeps the contract too; and what shares an endpoint."""

import pytest

from horae.domain.channel import Kafka, Log, Webhook
from horae.streams.channels import Channels, ReleaseFailed, endpoint_of
from tests.contracts.channel import Arrived, ChannelContract
from tests.streams.worker import HandChannel


@pytest.fixture
def channel() -> HandChannel:
    """Takes everything."""
    return HandChannel()


@pytest.fixture
def arrived(channel: HandChannel) -> Arrived:
    """What it was given."""
    return lambda: [release.document() for release in channel.releases]


class TestHandChannel(ChannelContract):
    """The contract."""


def test_endpoints_are_told_apart_by_scheme_host_and_port() -> None:
    """Paths share an endpoint; the release log has none."""
    assert endpoint_of(Webhook("https://Example.com/a")) == endpoint_of(Webhook("https://example.com/b?c"))
    assert endpoint_of(Webhook("https://example.com:444/a")) != endpoint_of(Webhook("https://example.com/a"))
    assert endpoint_of(Log()) is None


def test_topics_have_a_breaker_each() -> None:
    """One that is away does not hold up the others."""
    assert endpoint_of(Kafka("a")) == endpoint_of(Kafka("a"))
    assert endpoint_of(Kafka("a")) != endpoint_of(Kafka("b"))


def test_each_address_has_its_channel() -> None:
    """By its kind."""
    log, webhook, kafka = HandChannel(), HandChannel(), HandChannel()
    channels = Channels(log=log, webhook=webhook, kafka=kafka)
    assert channels.of(Kafka("notifications-due")) is kafka
    assert channels.of(Log()) is log
    assert channels.of(Webhook("https://example.com/")) is webhook


def test_a_channel_that_is_gone_is_a_failure_that_is_not_repeated() -> None:
    """Its schedules end as dead letters that say why, and can be replayed when it is back."""
    with pytest.raises(ReleaseFailed) as failed:
        Channels(log=HandChannel(), webhook=HandChannel()).of(Kafka("notifications-due"))
    failure = failed.value.failure
    assert (failure.kind, failure.nothing_arrived, failure.retryable) == ("channel", True, False)

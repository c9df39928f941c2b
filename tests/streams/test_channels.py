"""The test's own channel keeps the contract too; and what shares an endpoint."""

import pytest

from horae.domain.channel import Log, Webhook
from horae.streams.channels import Channels, endpoint_of
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


def test_each_address_has_its_channel() -> None:
    """By its kind."""
    log, webhook = HandChannel(), HandChannel()
    channels = Channels(log=log, webhook=webhook)
    assert channels.of(Log()) is log
    assert channels.of(Webhook("https://example.com/")) is webhook

"""Channels as clients write them."""

import pytest

from horae.domain.channel import NO_KAFKA, Kafka, Log, Offered, Webhook, parse_channel
from horae.domain.errors import Invalid


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook",
        "http://localhost:9000/a?b=c&d=%20",
        "https://[2001:db8::1]:8443/",
        "http://127.0.0.1",
    ],
)
def test_a_webhook_is_an_address(url: str) -> None:
    """http or https, with a host; whether the target may be called is judged when it is."""
    assert parse_channel(f"webhook:{url}") == Webhook(url)


def test_the_log_has_no_address() -> None:
    """It is the release log itself."""
    assert parse_channel("log:") == Log()


@pytest.mark.parametrize("topic", ["notifications-due", "a", "A.b_c-9", "x" * 249])
def test_a_topic_is_what_kafka_takes_for_one(topic: str) -> None:
    """Letters, digits, dots, underscores and hyphens; whether it exists here is judged by what is offered."""
    assert parse_channel(f"kafka:{topic}") == Kafka(topic)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log",
        "log:file",
        "webhook",
        "webhook:",
        "webhook:example.com/hook",
        "webhook:ftp://example.com",
        "webhook:https://",
        "webhook:https:///path",
        "webhook:https://user:secret@example.com",
        "webhook:https://example.com/#part",
        "webhook:https://exa mple.com",
        "webhook:https://example.com/\n",
        "webhook:https://example.com:0/",
        "webhook:https://example.com:99999/",
        "webhook:https://example.com:x/",
        "webhook:https://[::1/",
        "webhook:https://ex\u00e4mple.com/",
        "kafka",
        "kafka:",
        "kafka:.",
        "kafka:..",
        "kafka:a/b",
        "kafka:a b",
        "kafka:t\u00f6pic",
        "kafka:topic\n",
        "kafka:" + "x" * 250,
        "KAFKA:topic",
        "WEBHOOK:https://example.com",
        "webhook:https://example.com/" + "x" * 2048,
    ],
)
def test_anything_else_is_refused_with_a_right_example(text: str) -> None:
    """The error names the field and shows how it is written."""
    with pytest.raises(Invalid) as refused:
        parse_channel(text)
    assert refused.value.field == "channel"
    assert "webhook:https://example.com/hook" in (refused.value.hint or "")


@pytest.mark.parametrize("channel", ["log:", "webhook:https://example.com/"])
def test_a_release_log_and_webhooks_are_always_offered(channel: str) -> None:
    """They need nothing that an installation may lack."""
    NO_KAFKA.check(channel)


def test_without_kafka_a_topic_is_refused_and_the_error_says_how_to_have_one() -> None:
    """Never accepted and lost."""
    with pytest.raises(Invalid) as refused:
        NO_KAFKA.check("kafka:notifications-due")
    assert (refused.value.field, refused.value.value) == ("channel", "kafka:notifications-due")
    assert "HORAE_KAFKA_RELEASE_TOPICS" in (refused.value.hint or "")


@pytest.mark.parametrize("topic", ["horae-log", "schedule-commands", "somebody-elses"])
def test_only_the_topics_of_the_list_are_offered(topic: str) -> None:
    """So a tenant cannot write what our own workers read; the error names those that there are."""
    offered = Offered(frozenset({"notifications-due", "sms-due"}))
    offered.check("kafka:sms-due")
    with pytest.raises(Invalid) as refused:
        offered.check(f"kafka:{topic}")
    assert "kafka:notifications-due, kafka:sms-due" in (refused.value.hint or "")

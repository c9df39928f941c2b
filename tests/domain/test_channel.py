"""Channels as clients write them."""

import pytest

from horae.domain.channel import Log, Webhook, parse_channel
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
        "kafka:topic",
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

"""Channels as clients write them, `webhook:URL`, `kafka:TOPIC`, `log:`: read at the door, and where a release goes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from horae.domain.errors import Invalid
from horae.domain.personal import CHANNEL_LIMIT

_EXAMPLE = 'Write "webhook:https://example.com/hook", "kafka:notifications-due", or "log:" to try things out.'
#: Where `kafka:` releases go unless the installation says otherwise.
RELEASE_TOPIC = "notifications-due"
#: What Kafka itself takes as the name of a topic.
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A signed POST to `url` (http or https, with a host, without credentials and fragment)."""

    url: str


@dataclass(frozen=True, slots=True)
class Log:
    """A line in the release log."""


@dataclass(frozen=True, slots=True)
class Kafka:
    """A message on a topic, whose name here is without the installation's prefix."""

    topic: str


Channel = Webhook | Kafka | Log


@dataclass(frozen=True, slots=True)
class Offered:
    """What this installation can send by, beside `webhook:` and `log:`, which it always can.

    A channel that nobody serves is refused when it is asked for: accepted, its releases would be lost one by one.
    """

    #: Names that `kafka:` may name; none: there is no Kafka here. A tenant can so never write to our own topics.
    kafka_topics: frozenset[str] = frozenset()

    def check(self, text: str, field: str = "channel") -> None:
        """Raises `Invalid` for a channel that cannot be read or is not offered."""
        channel = parse_channel(text, field)
        if not isinstance(channel, Kafka) or channel.topic in self.kafka_topics:
            return
        if not self.kafka_topics:
            raise Invalid(
                "This installation has no Kafka, so that nobody would send it.",
                field=field,
                value=text,
                hint="Run the stack profile, or set KAFKA_BROKERS and HORAE_KAFKA_RELEASE_TOPICS; or use a webhook.",
            )
        raise Invalid(
            f"The topic {channel.topic} is not one that releases may go to.",
            field=field,
            value=text,
            hint=f"Use one of {', '.join(f'kafka:{topic}' for topic in sorted(self.kafka_topics))}; "
            "HORAE_KAFKA_RELEASE_TOPICS lists them.",
        )


#: An installation without Kafka.
NO_KAFKA = Offered()


@lru_cache(1024)
def parse_channel(text: str, field: str = "channel") -> Channel:
    """The channel that `text` names. Raises `Invalid`. What was read lately is remembered: each fire asks twice."""
    kind, colon, rest = text.partition(":")
    if len(text) > CHANNEL_LIMIT:
        raise _invalid(f"The channel has more than {CHANNEL_LIMIT} characters.", field, text[:80])
    match kind, colon, rest:
        case "log", ":", "":
            return Log()
        case "log", ":", _:
            raise _invalid("The log channel takes no address.", field, text)
        case "webhook", ":", _:
            return Webhook(_checked_url(rest, field, text))
        case "kafka", ":", _:
            return Kafka(_checked_topic(rest, field, text))
        case _:
            raise _invalid("There is no such channel.", field, text)


def check_url(url: str, field: str) -> None:
    """Refuse what is no address on the web that may be stored. Raises `Invalid`."""
    if len(url) > CHANNEL_LIMIT:
        raise Invalid(f"The URL has more than {CHANNEL_LIMIT} characters.", field=field, value=url[:80])
    try:
        _checked_url(url, field, url)
    except Invalid as error:
        example = "Write https://example.com/holidays.ics."
        raise Invalid(error.message, field=field, value=url[:200], hint=example) from None


def _checked_url(url: str, field: str, text: str) -> str:
    # urlsplit drops tabs and newlines silently: what is stored and what is called would differ.
    if not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise _invalid("The URL holds spaces or characters that a URL must encode.", field, text)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _invalid(f"The URL cannot be read: {error}.", field, text) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise _invalid("The URL must be http or https, with a host.", field, text)
    if parts.username is not None or parts.password is not None:
        raise _invalid("The URL holds credentials, which would end up in logs.", field, text)
    if parts.fragment:
        raise _invalid("The URL has a fragment, which is never sent.", field, text)
    return url


def _checked_topic(topic: str, field: str, text: str) -> str:
    if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        raise _invalid(
            "A topic's name has 1 to 249 letters, digits, dots, underscores and hyphens, and is not a dot or two.",
            field,
            text,
        )
    return topic


def _invalid(message: str, field: str, value: str) -> Invalid:
    return Invalid(message, field=field, value=value, hint=_EXAMPLE)

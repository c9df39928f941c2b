"""Channels as clients write them, `webhook:URL` and `log:`: read at the door, and again where a release goes out."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from horae.domain.errors import Invalid
from horae.domain.personal import CHANNEL_LIMIT

_EXAMPLE = 'Write "webhook:https://example.com/hook", or "log:" to try things out.'


@dataclass(frozen=True, slots=True)
class Webhook:
    """A signed POST to `url` (http or https, with a host, without credentials and fragment)."""

    url: str


@dataclass(frozen=True, slots=True)
class Log:
    """A line in the release log."""


Channel = Webhook | Log


def parse_channel(text: str, field: str = "channel") -> Channel:
    """The channel that `text` names. Raises `Invalid`."""
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
        case _:
            raise _invalid("There is no such channel.", field, text)


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


def _invalid(message: str, field: str, value: str) -> Invalid:
    return Invalid(message, field=field, value=value, hint=_EXAMPLE)

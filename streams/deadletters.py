"""Dead letters: messages that could never be carried out, kept as they came with the reason, as far as a broker takes.

Place in the flow: `commanding.py`, `engaging.py` -> *here* -> a topic `...-dead`. A broker measures what producers send
after they compressed it, so a message may be many times larger than what we can send on; one that is nearly as large
as allowed has no room for the reason. What a broker refuses would be sent again for ever, and nothing behind it on its
partition would be read: so everything that is said of a message has a bound.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from horae.streams.inputs import Received
from horae.streams.relay import Message

#: Bytes of key, value and headers together; brokers take 1 MiB unless they are told otherwise.
LARGEST = 900_000
_KEY, _HEADERS, _REASON = 10_000, 100_000, 2_000
#: Lengths and such of a header, at most.
_FRAME = 10
#: Of `dead-truncated`.
_SAID_OF_IT = 200


def cut(text: str, most: int = _REASON) -> str:
    """As much of it as `most` bytes of UTF-8 hold; it ends with three dots if that is not all."""
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= most else raw[: most - 3].decode("utf-8", "ignore") + "..."


def dead_letter(topic: str, message: Received, why: Mapping[str, str], secret: Collection[str]) -> Message:
    """The message as it came but for headers in `secret` (lower case), with `why` in headers of its own.

    What is too large is cut: the value, a key, or headers left out. Then `dead-truncated` says what, of what size.
    """
    headers: list[tuple[str, bytes]] = []
    room, left_out = _HEADERS, 0
    for name, value in message.headers:
        if name.lower() in secret:
            continue
        room -= _size(name, value)
        if room >= 0:
            headers.append((name, value))
        else:
            left_out += 1
    headers += [(name, cut(text).encode("utf-8", "replace")) for name, text in why.items()]
    key = message.key if message.key is not None else message.place.encode()
    value = message.value or b""
    most = LARGEST - min(len(key), _KEY) - sum(_size(name, text) for name, text in headers) - _SAID_OF_IT
    lost = []
    if len(value) > most:
        lost.append(f"value of {len(value)} bytes")
    if len(key) > _KEY:
        lost.append(f"key of {len(key)} bytes")
    if left_out:
        lost.append(f"{left_out} headers")
    if lost:
        headers.append(("dead-truncated", ", ".join(lost).encode()))
    return Message(topic, key[:_KEY], value[:most], headers)


def _size(name: str, value: bytes) -> int:
    return len(name.encode("utf-8", "replace")) + len(value) + _FRAME

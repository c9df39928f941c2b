"""The machine's clock against an NTP server's: one exchange of SNTP (RFC 5905, section 14).

Place in the flow: worker (`watches`), `horae tz check` -> *here* -> the server that NTP_SERVER names. Nothing is set:
that is the operating system's; here it is only told by how much the clock errs.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
import time
from dataclasses import dataclass

PORT = 123
TIMEOUT_S = 3.0

#: Leap indicator, version and mode; stratum; poll; precision; root delay and dispersion; reference id; four timestamps.
_PACKET = struct.Struct("!BBbb2I4s4Q")
_CLIENT = 4 << 3 | 3  # version 4, mode 3
_SERVER_MODE = 4
_UNSYNCHRONISED = 3
#: From 1900 to 1970, in seconds.
_EPOCH = 2_208_988_800
_ERA = 1 << 32


class NtpError(Exception):
    """The server could not be asked, or what it said cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class TimeSync:
    """What one exchange showed."""

    server: str
    #: By how much the server's clock is ahead of ours, in seconds.
    offset_s: float
    #: Time on the way, both ways; the offset is right to half of it.
    round_trip_s: float
    #: 1: the server has a reference clock of its own; each step further counts one.
    stratum: int


async def ask(server: str, timeout_s: float = TIMEOUT_S) -> TimeSync:
    """Exchange one pair of packets with `host` or `host:port`. Raises `NtpError`, within `timeout_s`."""
    host, port = split(server)
    try:
        async with asyncio.timeout(timeout_s):
            transport, answers = await asyncio.get_running_loop().create_datagram_endpoint(
                _Answers, remote_addr=(host, port)
            )
            try:
                # Not our time but a number that nobody can guess, so that nobody else can answer.
                nonce = secrets.randbits(64)
                sent, began = time.time(), time.monotonic()
                transport.sendto(_PACKET.pack(_CLIENT, 0, 0, 0, 0, 0, b"\0" * 4, 0, 0, 0, nonce))
                while True:
                    packet, arrived = await answers.next()
                    if (read := _read(packet, nonce)) is not None:
                        break
            finally:
                transport.close()
    except TimeoutError:
        raise NtpError(f"{server} did not answer within {timeout_s:g} s") from None
    except OSError as error:
        raise NtpError(f"{server} cannot be reached: {error.strerror or error}") from None
    leap, stratum, reference, received, transmitted = read
    if stratum == 0:
        raise NtpError(f"{server} refuses: {reference.decode('ascii', 'replace')}")
    if leap == _UNSYNCHRONISED or stratum > 15 or not transmitted:
        raise NtpError(f"{server} is itself not synchronised")
    # Their clock is read twice, ours once and then by one that nobody sets meanwhile.
    back = sent + (arrived - began)
    there, gone = _seconds(received, near=sent), _seconds(transmitted, near=sent)
    offset = ((there - sent) + (gone - back)) / 2
    return TimeSync(server, offset, max(0.0, (back - sent) - (gone - there)), stratum)


def split(server: str) -> tuple[str, int]:
    """`host`, `host:port` or `[address]:port` as host and port."""
    host, colon, port = server.rpartition(":")
    if not colon or server.endswith("]"):
        host, port = server, str(PORT)
    return host.strip("[]"), int(port)


def _read(packet: bytes, nonce: int) -> tuple[int, int, bytes, int, int] | None:
    """What an answer to our packet says; None: it is none."""
    if len(packet) < _PACKET.size:
        return None
    first, stratum, _, _, _, _, reference, _, origin, received, transmitted = _PACKET.unpack(packet[: _PACKET.size])
    if first & 7 != _SERVER_MODE or origin != nonce:
        return None
    return first >> 6, stratum, reference, received, transmitted


def _seconds(stamp: int, *, near: float) -> float:
    """A timestamp as seconds since 1970, in the era that lies nearest: they are counted anew from 2036 on."""
    seconds = stamp / _ERA - _EPOCH
    return seconds + round((near - seconds) / _ERA) * _ERA


class _Answers(asyncio.DatagramProtocol):
    """Packets as they come, with the monotonic time of their coming."""

    def __init__(self) -> None:
        self._come: asyncio.Queue[tuple[bytes, float] | Exception] = asyncio.Queue()

    async def next(self) -> tuple[bytes, float]:
        """The next one. Raises OSError if the network says that there will be none."""
        come = await self._come.get()
        if isinstance(come, Exception):
            raise come
        return come

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - the protocol's signature
        self._come.put_nowait((data, time.monotonic()))

    def error_received(self, exc: Exception) -> None:
        self._come.put_nowait(exc)

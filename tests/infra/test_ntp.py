"""The clock's comparison, with a real server on UDP that answers as each test has it."""

from __future__ import annotations

import asyncio
import math
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from horae.infra.ntp import NtpError, ask, split
from horae.infra.watches import ClockWatch

_EPOCH = 2_208_988_800
Answer = Callable[[bytes], list[bytes]]


def stamp(unix: float) -> bytes:
    """A timestamp as NTP writes it: seconds since 1900, modulo 2^32, and a fraction."""
    whole, fraction = divmod(unix + _EPOCH, 1)
    return struct.pack("!II", int(whole) % (1 << 32), int(fraction * (1 << 32)))


def packet(
    asked: bytes, ahead_s: float = 0.0, *, mode: int = 4, leap: int = 0, stratum: int = 2, reference: bytes = b"TEST"
) -> bytes:
    """What a server whose clock is `ahead_s` ahead answers (RFC 5905, figure 8)."""
    now = time.time() + ahead_s
    head = struct.pack("!BBbb", leap << 6 | 4 << 3 | mode, stratum, 6, -20) + bytes(8) + reference
    return head + stamp(now - 60) + asked[40:48] + stamp(now) + stamp(now)


class _Server(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer) -> None:
        self.answer, self.asked = answer, list[bytes]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(data)
        for each in self.answer(data):
            self.transport.sendto(each, addr)


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[str, _Server]]:
    """A server on a free port, by its address."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: _Server(answer), local_addr=("127.0.0.1", 0))
    try:
        yield f"127.0.0.1:{transport.get_extra_info('sockname')[1]}", server
    finally:
        transport.close()


@pytest.mark.covers("TZ-26", "TZ-27", "EXT-04")
@pytest.mark.parametrize("ahead_s", [0.0, 7.25, -3600.5, 86_400 * 400.0])
async def test_the_servers_clock_is_told_by_how_much_it_is_ahead(ahead_s: float) -> None:
    """To half the time on the way, which is all that two clocks can know of each other."""
    async with serving(lambda asked: [packet(asked, ahead_s)]) as (address, server):
        sync = await ask(address)
    assert abs(sync.offset_s - ahead_s) <= sync.round_trip_s / 2 + 1e-3
    assert (sync.server, sync.stratum) == (address, 2)
    (asked,) = server.asked
    assert (len(asked), asked[0]) == (48, 0b00_100_011)  # version 4, client


async def test_the_count_of_seconds_begins_anew_in_2036() -> None:
    """A server behind that date is read rightly, however far its 32 bits have gone round."""
    async with serving(lambda asked: [packet(asked, 2**31 - 86_400.0)]) as (address, _):
        sync = await ask(address)
    assert math.isclose(sync.offset_s, 2**31 - 86_400.0, abs_tol=5)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda asked: [packet(asked, stratum=0, reference=b"RATE")], "refuses: RATE"),
        (lambda asked: [packet(asked, leap=3)], "is itself not synchronised"),
        (lambda asked: [packet(asked, stratum=16)], "is itself not synchronised"),
        (lambda asked: [packet(asked)[:40] + bytes(8)], "is itself not synchronised"),
    ],
    ids=["a kiss of death", "a warning", "a stratum that is none", "no time"],
)
async def test_what_cannot_be_used_says_why(answer: Answer, why: str) -> None:
    """Each by its server."""
    async with serving(answer) as (address, _):
        with pytest.raises(NtpError, match=f"{address} {why}"):
            await ask(address)


async def test_only_the_answer_to_our_question_counts() -> None:
    """Something short, another client's answer, an echo: none of them is taken for it."""

    def answer(asked: bytes) -> list[bytes]:
        return [b"short", packet(bytes(48), 100), packet(asked, 200, mode=3), packet(asked, 300)]

    async with serving(answer) as (address, _):
        assert round((await ask(address)).offset_s) == 300


async def test_silence_and_absence_are_errors_in_time() -> None:
    """Nobody answers, nobody listens, nobody is called so."""
    async with serving(lambda _: []) as (address, _):
        with pytest.raises(NtpError, match=r"did not answer within 0\.05 s"):
            await ask(address, timeout_s=0.05)
    with pytest.raises(NtpError, match=rf"{address} (cannot be reached|did not answer)"):
        await ask(address, timeout_s=5)
    with pytest.raises(NtpError, match="cannot be reached"):
        await ask("no-such-host.invalid", timeout_s=30)


def test_a_server_may_have_a_port() -> None:
    """123 is the default; a bare IPv6 address stands in brackets."""
    assert split("time.example.org") == ("time.example.org", 123)
    assert split("time.example.org:1123") == ("time.example.org", 1123)
    assert split("[2001:db8::1]") == ("2001:db8::1", 123)
    assert split("[2001:db8::1]:1123") == ("2001:db8::1", 1123)


@pytest.mark.covers("TZ-27")
async def test_the_watch_tells_the_error_and_goes_on_without_an_answer() -> None:
    """The figure stays what it was when nobody answers, and begins as not known."""
    answers: list[float | None] = [None, 2.5, None]

    def answer(asked: bytes) -> list[bytes]:
        ahead = answers.pop(0)
        return [packet(asked, stratum=0, reference=b"DENY") if ahead is None else packet(asked, ahead)]

    registry = CollectorRegistry()
    async with serving(answer) as (address, _):
        watch = ClockWatch(address, registry)
        offsets = []
        for _ in range(3):
            looked = await watch.run_once()
            offsets.append((looked.answered, looked.told, registry.get_sample_value("horae_clock_offset_seconds")))
    (first, second, third) = offsets
    assert first[:2] == (0, 0)
    assert first[2] is not None
    assert math.isnan(first[2])
    assert second[:2] == (1, 1)
    assert second[2] == pytest.approx(2.5, abs=0.5)
    assert third == (0, 0, second[2])


@pytest.mark.covers("TZ-26")
async def test_the_command_asks_the_server_that_is_set() -> None:
    """`horae tz check` says by how much the clock errs, and leaves with 0 whatever it found."""
    async with serving(lambda asked: [packet(asked, 90.0)]) as (address, _):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "horae.infra.cli.main", "tz", "check", "--ntp", address, "--url", ""),
            stdout=asyncio.subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said, _ = await process.communicate()
    assert process.returncode == 0, said
    assert "is ahead of ours by 90." in said.decode() or "is ahead of ours by 89.9" in said.decode()

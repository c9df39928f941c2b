"""What is looked at from time to time: a newer release of the zone data, and the machine's clock.

Place in the flow: worker -> *here* -> whoever the settings name -> log and metrics. Neither ever stops anything: who
cannot be asked is asked again the next time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import structlog
from prometheus_client import CollectorRegistry, Gauge

from horae.domain.timing.zones import tzdata_version
from horae.infra import ntp
from horae.infra.ntp import NtpError, TimeSync

_log = structlog.get_logger(__name__)

_TIMEOUT_S = 10.0
#: An answer is one word.
_LONGEST = 1024
_RELEASE = re.compile(r"(\d{4})([a-z]{1,2})")

#: Whoever starts and stops services all day should not ask each time.
FIRST_LOOK_S = 600.0
#: As often as an NTP client asks that has settled (RFC 5905: 2^10 s).
CLOCK_EVERY_S = 1024.0
#: An error of the clock that is worth a line in the log.
TELLING_S = 0.1


class CannotTell(Exception):
    """Who should know the newest release could not be asked, or said something else."""


async def newest_release(url: str, timeout_s: float = _TIMEOUT_S) -> str:
    """The name of the newest release, such as `2026f`: the first word of what `url` answers. Raises `CannotTell`."""
    try:
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session, session.get(url) as answer:
            if answer.status != 200:
                raise CannotTell(f"{url} answers {answer.status}")
            text = (await answer.content.read(_LONGEST)).decode("utf-8", "replace")
    except (OSError, aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise CannotTell(f"{url} cannot be asked: {error or type(error).__name__}") from None
    words = text.split(maxsplit=1)
    if not words or _RELEASE.fullmatch(words[0]) is None:
        raise CannotTell(f"{url} does not answer with the name of a release: {text[:40]!r}")
    return words[0]


def is_newer(one: str, other: str) -> bool:
    """Is the release `one` newer than `other`? After `2026z` comes `2026za`."""
    return _order(one) > _order(other)


def _order(release: str) -> tuple[int, int, str]:
    found = _RELEASE.match(release)
    if found is None:
        raise ValueError(f"{release!r} is not the name of a release, such as 2026f")
    return int(found[1]), len(found[2]), found[2]


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look found: 1 if there was an answer, 1 if it was worth telling."""

    answered: int
    told: int


class ZoneDataWatch:
    """Tells when a newer release of the zone data is out."""

    def __init__(self, url: str, every_s: float, registry: CollectorRegistry) -> None:
        if every_s <= 0:
            raise ValueError("the interval must be positive")
        self._url, self.every_s = url, every_s
        self._outdated = Gauge(
            "horae_zone_data_outdated",
            "1: a newer release of the zone data is out than the one in use, at the last look; NaN: not told yet.",
            registry=registry,
        )
        self._outdated.set(float("nan"))

    async def run_once(self) -> Looked:
        """Ask once."""
        try:
            newest = await newest_release(self._url)
        except CannotTell as error:
            _log.info("zone_data_not_checked", reason=str(error))
            return Looked(0, 0)
        outdated = is_newer(newest, tzdata_version())
        self._outdated.set(outdated)
        if outdated:
            _log.warning("zone_data_outdated", newest=newest, in_use=tzdata_version(), see="docs/operations.md")
        return Looked(1, int(outdated))


class ClockWatch:
    """Tells by how much the machine's clock errs."""

    every_s = CLOCK_EVERY_S

    def __init__(
        self,
        server: str,
        registry: CollectorRegistry,
        ask: Callable[[str], Awaitable[TimeSync]] = ntp.ask,
    ) -> None:
        self._server, self._ask = server, ask
        self._offset = Gauge(
            "horae_clock_offset_seconds",
            "By how much the NTP server's clock is ahead of this machine's, at the last look; NaN: not told yet.",
            registry=registry,
        )
        self._offset.set(float("nan"))

    async def run_once(self) -> Looked:
        """Ask once."""
        try:
            sync = await self._ask(self._server)
        except NtpError as error:
            _log.warning("clock_not_compared", reason=str(error))
            return Looked(0, 0)
        self._offset.set(sync.offset_s)
        errs = abs(sync.offset_s) - sync.round_trip_s / 2 > TELLING_S
        if errs:
            _log.warning("clock_errs", server=sync.server, ahead_s=round(sync.offset_s, 3))
        return Looked(1, int(errs))


async def watch(one: ZoneDataWatch | ClockWatch, first_s: float) -> None:
    """Look after `first_s` seconds and then again and again, until cancelled; a look that fails is repeated in turn."""
    await asyncio.sleep(first_s)
    while True:
        try:
            await one.run_once()
        except Exception:  # noqa: BLE001 - told, and looked again in turn: nothing else may suffer from a look
            _log.exception("watch_failed", watch=type(one).__name__)
        await asyncio.sleep(one.every_s)

"""Which zone data are in use: one release of the IANA database, as the `tzdata` wheel packs it, for all of a process.

Place in the flow: `zones` and `zonefacts` read every byte through here, so that the version that plans name is that of
the rules that they were made by. Without a word it is the installed package; a process may be told another release
(`infra.zonedata` opens it) before it plans anything. The machine's own files play no part.
"""

from __future__ import annotations

import io
import zoneinfo
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

import tzdata

# Whoever else asks Python for a zone is not to get the machine's rules either.
zoneinfo.reset_tzpath(to=[])
ZoneInfo.clear_cache()


class ZoneData(Protocol):
    """One release of the database."""

    @property
    def version(self) -> str:
        """As the IANA names it, such as `2026f`."""
        ...

    @property
    def origin(self) -> str:
        """Where the bytes come from, for people."""
        ...

    def read(self, path: str) -> bytes:
        """A file below the wheel's folder `tzdata`: `zones`, `zoneinfo/Europe/Berlin`. Raises KeyError."""
        ...


class _Installed:
    """The package beside us, which the lock pins."""

    version: str = tzdata.IANA_VERSION
    origin = f"the installed package tzdata {tzdata.__version__}"

    def read(self, path: str) -> bytes:
        """See `ZoneData.read`."""
        try:
            return files("tzdata").joinpath(path).read_bytes()
        except OSError:
            raise KeyError(path) from None


INSTALLED: ZoneData = _Installed()

_in_use: list[ZoneData] = [INSTALLED]
_forget: list[Callable[[], None]] = []


class _Remembers(Protocol):
    def cache_clear(self) -> None: ...


C = TypeVar("C", bound=_Remembers)


def of_zone_data(remembering: C) -> C:
    """Mark a cached function whose answers hold for one release only: another release makes it forget them."""
    _forget.append(remembering.cache_clear)
    return remembering


def current() -> ZoneData:
    """The release in use."""
    return _in_use[-1]


def use(data: ZoneData) -> None:
    """Read zones from this release from now on. Not for a process that has begun to plan: its plans would disagree."""
    _in_use[-1] = data
    for forget in _forget:
        forget()


@contextmanager
def using(data: ZoneData) -> Iterator[None]:
    """For a while another release, then the one before; to compare two."""
    before = current()
    use(data)
    try:
        yield
    finally:
        use(before)


def names() -> frozenset[str]:
    """Every zone name of the release in use, links included."""
    return frozenset(current().read("zones").decode("utf-8").split())


def text(table: str) -> str:
    """One of the release's tables: `tzdata.zi`, `zone.tab`, `zone1970.tab`."""
    return current().read(f"zoneinfo/{table}").decode("utf-8")


def rules(name: str) -> ZoneInfo:
    """The rules of a zone that is among `names`."""
    # Not by `ZoneInfo(name)`: that reads from wherever Python finds something.
    made: Any = ZoneInfo.from_file(io.BytesIO(current().read(f"zoneinfo/{name}")), key=name)
    zone: ZoneInfo = made
    return zone

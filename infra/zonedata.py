"""Another release of the zone data than the installed one: a `tzdata` wheel, or a folder that one was unpacked into.

Place in the flow: the setting TIMEZONE_DATA -> *here* -> `domain.timing.zonedata`, in each process before it plans.
Everything is read into memory at once and held against the wheel's own list of hashes (RECORD): what is replaced on
disk while a process runs changes nothing for it, and a mixture of two releases is refused, not used.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from horae.domain.timing import zonedata
from horae.domain.timing.zones import check_zone
from horae.infra.setting_checks import IANA
from horae.infra.setting_sources import SettingsError
from horae.infra.settings import Settings

_PACKAGE = "tzdata/"
_RECORD = re.compile(r"tzdata-[^/]+\.dist-info/RECORD")
_VERSION = re.compile(r"""^IANA_VERSION = ["']([0-9]{4}[a-z]{1,2})["']$""", re.MULTILINE)
_HINT = (
    "TIMEZONE_DATA_SOURCE is IANA, a tzdata wheel, or the folder that `pip install --no-deps --target FOLDER tzdata` "
    "filled."
)


class Release:
    """One release in memory; see `domain.timing.zonedata.ZoneData`."""

    def __init__(self, version: str, origin: str, contents: dict[str, bytes]) -> None:
        """`contents`: path below `tzdata/` -> bytes."""
        self.version, self.origin, self._contents = version, origin, contents

    def read(self, path: str) -> bytes:
        """See `ZoneData.read`."""
        return self._contents[path]


def use_zone_data_of(settings: Settings) -> None:
    """Let this process read zones from the release that the settings name. Raises `SettingsError`."""
    if settings.zone_data == IANA:
        return
    zonedata.use(open_release(Path(settings.zone_data).absolute()))
    # The settings were read while the installed release was in use.
    check_zone(settings.default_zone, "DEFAULT_TIMEZONE")


def open_release(path: Path) -> Release:
    """Read a wheel or an unpacked one, and check it. Raises `SettingsError` that says what is wrong with it."""
    try:
        if path.is_dir():
            below = (file for file in path.rglob("*") if file.is_file())
            names = [file.relative_to(path).as_posix() for file in below]
            return _checked(path, names, lambda name: (path / name).read_bytes())
        with zipfile.ZipFile(path) as wheel:
            return _checked(path, wheel.namelist(), wheel.read)
    except (OSError, zipfile.BadZipFile) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(f"The zone data {path} cannot be read: {reason}. {_HINT}") from None


def _checked(path: Path, names: Iterable[str], read: Callable[[str], bytes]) -> Release:
    records = [name for name in names if _RECORD.fullmatch(name)]
    if len(records) != 1:
        found = f"{len(records)} releases" if records else "no release"
        raise SettingsError(f"There is {found} of tzdata in {path}, not one. {_HINT}")
    contents: dict[str, bytes] = {}
    for name, told, _size in csv.reader(read(records[0]).decode("utf-8").splitlines()):
        # Python's own files of it are nobody's zone data; an installer adds its own, without a hash.
        if not name.startswith(_PACKAGE) or (name.endswith((".py", ".pyc")) and name != f"{_PACKAGE}__init__.py"):
            continue
        try:
            content = read(name)
        except (KeyError, FileNotFoundError):
            raise SettingsError(f"{name} is missing in {path}. {_HINT}") from None
        method, _, digest = told.partition("=")
        if method != "sha256" or _sha256(content) != digest:
            raise SettingsError(f"{name} in {path} is not the file of that release: its hash differs. {_HINT}")
        contents[name.removeprefix(_PACKAGE)] = content
    version = _VERSION.search(contents.get("__init__.py", b"").decode("utf-8"))
    if version is None or not {"zones", "zoneinfo/tzdata.zi", "zoneinfo/zone.tab"} <= contents.keys():
        raise SettingsError(f"What is in {path} is no tzdata that can be used: 2020.5 or newer can. {_HINT}")
    return Release(version[1], str(path), contents)


def _sha256(content: bytes) -> str:
    """As RECORD writes it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode("ascii")

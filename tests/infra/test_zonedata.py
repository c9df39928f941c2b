"""Another release of the zone data: read whole, held against its own hashes, and named by the plans made with it."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from horae.domain import timing as t
from horae.domain.learning import hours
from horae.domain.timing import zonedata, zonefacts, zones
from horae.infra.setting_sources import SettingsError
from horae.infra.settings import load
from horae.infra.zonedata import open_release, use_zone_data_of
from tests.fixtures.zone_releases import RELEASES, ZoneReleases

NINE = t.Every(cron="0 9 20 11 *", zone="America/Vancouver")


@pytest.fixture(autouse=True)
def the_installed_one_again() -> Iterator[None]:
    """Whatever a test reads from, the next one reads from the installed release."""
    with zonedata.using(zonedata.INSTALLED):
        yield


def planned(timing: t.Timing = NINE) -> t.Next:
    context = t.Context(now=datetime(2026, 8, 1, tzinfo=UTC), schedule_id=UUID(int=1))
    (slot,) = t.preview(timing, 1, context).slots
    return slot


def hash_of(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def recorded(folder: Path) -> dict[str, str]:
    """Path -> hash, as the wheel's RECORD has them."""
    (record,) = folder.glob("tzdata-*.dist-info/RECORD")
    rows = (line.split(",") for line in record.read_text().splitlines())
    return {name: told.removeprefix("sha256=") for name, told, _ in rows}


@pytest.mark.covers("TZ-01")
@pytest.mark.parametrize("name", list(RELEASES))
def test_a_plan_names_the_release_whose_bytes_were_read(
    name: str, zone_releases: ZoneReleases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read for a plan are that release's files by its own hashes; its text, and the plan, say its version."""
    folder = zone_releases.folder(name)
    monkeypatch.setenv("TIMEZONE_DATA_SOURCE", str(folder))
    read: dict[str, bytes] = {}
    release = open_release(folder)

    class Watched:
        version, origin = release.version, release.origin

        def read(self, path: str) -> bytes:
            read[path] = release.read(path)
            return read[path]

    zonedata.use(Watched())
    plan = planned().plan
    assert plan.tzdata == name
    assert "zoneinfo/America/Vancouver" in read
    assert {path: hash_of(content) for path, content in read.items()} == {
        path: recorded(folder)[f"tzdata/{path}"] for path in read
    }
    # 2026b was packed from a tree that calls itself 2026b-dirty.
    assert release.read("zoneinfo/tzdata.zi").decode().split("\n")[0].startswith(f"# version {name}")


def test_without_a_word_the_bytes_are_those_of_the_installed_package() -> None:
    """Every file that its RECORD lists is what is read, and its version is what plans name."""
    installed = metadata.distribution("tzdata")
    listed = {str(file): file.hash.value for file in installed.files or () if file.hash is not None}
    names = sorted(zones.zone_names())
    assert len(names) > 500
    for name in [f"zoneinfo/{zone}" for zone in names] + ["zones", "zoneinfo/tzdata.zi"]:
        assert hash_of(zonedata.current().read(name)) == listed[f"tzdata/{name}"]
    text = zonedata.text("tzdata.zi").split("\n")[0]
    assert planned().plan.tzdata == text.removeprefix("# version ")


@pytest.mark.covers("TZ-01", "TZ-29")
def test_the_setting_decides_by_which_rules_everything_is_told(
    zone_releases: ZoneReleases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before 2026b Vancouver went back to standard time in November 2026; the file and the folder say the same."""
    at = datetime(2026, 11, 20, 17, tzinfo=UTC)
    told: dict[str, tuple[object, ...]] = {}
    for source in (zone_releases.folder("2025c"), zone_releases.wheel("2025c", tmp_path), "IANA"):
        monkeypatch.setenv("TIMEZONE_DATA_SOURCE", str(source))
        zonedata.use(zonedata.INSTALLED)
        use_zone_data_of(load().settings)
        local = hours.local_s(np.array([int(at.timestamp())]), np.array([0]), ("America/Vancouver",))
        facts = zonefacts.facts("America/Vancouver", at)
        told[str(source)] = planned().due_at.hour, facts.offset, facts.tzdata, int(local[0]) % 86_400 // 3600
    old, packed, installed = told.values()
    assert old == packed == (17, "-08:00", "2025c", 9)
    assert installed == (16, "-07:00", t.tzdata_version(), 10)


def test_what_is_not_one_whole_release_is_refused(
    zone_releases: ZoneReleases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A changed file, a missing one, two at once, something else, nothing: by its path, with what to give instead."""
    old, new = zone_releases.folder("2025c"), zone_releases.folder("2026c")
    mixed = shutil.copytree(old, tmp_path / "mixed")
    shutil.copy(new / "tzdata/zoneinfo/America/Vancouver", mixed / "tzdata/zoneinfo/America/Vancouver")
    with pytest.raises(SettingsError, match=r"America/Vancouver in .* its hash differs"):
        open_release(mixed)
    (mixed / "tzdata/zoneinfo/America/Vancouver").unlink()
    with pytest.raises(SettingsError, match="America/Vancouver is missing"):
        open_release(mixed)
    both = shutil.copytree(new, shutil.copytree(old, tmp_path / "both"), dirs_exist_ok=True)
    with pytest.raises(SettingsError, match="2 releases of tzdata"):
        open_release(both)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match="no release of tzdata"):
        open_release(tmp_path / "empty")
    (tmp_path / "text").write_text("2026c")
    with pytest.raises(SettingsError, match=r"text cannot be read.*pip install --no-deps --target FOLDER tzdata"):
        open_release(tmp_path / "text")
    monkeypatch.setenv("TIMEZONE_DATA_SOURCE", str(tmp_path / "nothing"))
    with pytest.raises(SettingsError, match="nothing cannot be read: No such file or directory"):
        use_zone_data_of(load().settings)


def test_commands_read_from_it_too(zone_releases: ZoneReleases) -> None:
    """`horae tz` and `horae preview` say what the service would, given the same setting."""
    environment = {"TIMEZONE_DATA_SOURCE": str(zone_releases.folder("2025c"))}
    shown = run("tz", "transitions", "America/Vancouver", "--year", "2026", environment=environment)
    assert "2026-11-01 09:00:00" in shown
    assert "2026-11-01" not in run("tz", "transitions", "America/Vancouver", "--year", "2026")
    asked = ("preview", "--cron", "0 9 20 11 *", "--zone", "America/Vancouver", "--after", "2026-08-01T00:00:00Z")
    assert "2026-11-20 17:00" in run(*asked, environment=environment)
    assert "2026-11-20 16:00" in run(*asked)


def run(*arguments: str, environment: dict[str, str] | None = None) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "horae.infra.cli.main", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | (environment or {}))
    assert done.returncode == 0, done.stderr
    return done.stdout

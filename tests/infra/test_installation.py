"""The data folder: one process at a time, one key that stays, and secrets that only their owner reads."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from horae.infra.processes.installation import Installation, InUseError, listen, read_api_key
from horae.infra.setting_sources import SettingsError


def test_a_second_lock_is_refused_naming_the_holder(tmp_path: Path) -> None:
    """The lock goes with its process, so a crash never leaves one behind."""
    first = Installation(tmp_path / "data")
    first.lock()
    with pytest.raises(InUseError, match=rf"{tmp_path}/data.*process {os.getpid()}"):
        Installation(tmp_path / "data").lock()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """The error names the folder and the flag."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"file/data.*--data"):
        Installation(tmp_path / "file" / "data").lock()


def test_the_first_start_makes_a_key_that_later_starts_keep(tmp_path: Path) -> None:
    """256 random bits, told as new only once, readable by the owner only."""
    installation = Installation(tmp_path)
    key, new = installation.api_key(None)
    assert new
    assert key.startswith("hk_")
    assert len(key) == 46
    assert installation.api_key(None) == (key, False)
    assert read_api_key(tmp_path) == key
    assert stat.S_IMODE(installation.api_key_file.stat().st_mode) == 0o600


def test_a_given_key_replaces_the_kept_one(tmp_path: Path) -> None:
    """So the local CLI always has the one that works."""
    installation = Installation(tmp_path)
    installation.api_key(None)
    assert installation.api_key("hk_given-by-the-operator") == ("hk_given-by-the-operator", False)
    assert installation.api_key(None) == ("hk_given-by-the-operator", False)


@pytest.mark.parametrize("key", ["", "has space", "ümlaut", "new\nline"])
def test_a_key_that_no_header_carries_is_refused_without_being_repeated(key: str, tmp_path: Path) -> None:
    """The error names the setting."""
    with pytest.raises(SettingsError, match="api_key") as error:
        Installation(tmp_path).api_key(key)
    assert not key or key not in str(error.value)


def test_a_folder_without_a_key_has_none(tmp_path: Path) -> None:
    """No key is not an error here: the caller says where else one may come from."""
    assert read_api_key(tmp_path) is None


def test_a_taken_port_is_refused_naming_port_and_flag() -> None:
    """Found out before anything is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InUseError, match=rf"Port {port} on 127\.0\.0\.1 is taken.*--port"):
            listen("127.0.0.1", port)


def test_an_address_that_is_not_ours_is_refused() -> None:
    """The error names the flags."""
    with pytest.raises(SettingsError, match="--host"):
        listen("192.0.2.1", 8080)

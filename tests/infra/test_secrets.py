"""Master key and what is derived from it."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from horae.infra.secrets import Refs, fingerprint, master_key
from horae.infra.setting_sources import SettingsError

KEY = bytes(range(32))


def test_a_folder_without_a_key_gets_one_that_only_its_owner_reads(tmp_path: Path) -> None:
    """The second start finds the key of the first."""
    first = master_key(None, tmp_path)
    assert master_key(None, tmp_path) == first
    assert stat.S_IMODE((tmp_path / "master-key").stat().st_mode) == 0o600


@pytest.mark.covers("ENV-35")
def test_the_configured_key_wins_and_may_be_hexadecimal_or_base64(tmp_path: Path) -> None:
    """ENCRYPTION_KEY is 32 bytes in either writing."""
    assert master_key(KEY.hex(), tmp_path) == KEY
    assert master_key(base64.b64encode(KEY).decode(), None) == KEY
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["short", "zz" * 32, "ab" * 31])
def test_a_key_of_another_length_is_refused_without_being_repeated(text: str) -> None:
    """The error says how to make one."""
    with pytest.raises(SettingsError) as error:
        master_key(text, None)
    assert "openssl rand -hex 32" in str(error.value)
    assert text not in str(error.value)


def test_no_key_and_no_folder_is_an_error_that_names_the_setting() -> None:
    """Processes that run alone must share one key, so none is invented."""
    with pytest.raises(SettingsError, match="ENCRYPTION_KEY"):
        master_key(None, None)


def test_references_differ_by_tenant_recipient_and_key() -> None:
    """Stable for the same three, and telling nothing about any of them."""
    refs = Refs(KEY)
    assert refs.recipient_ref("a", "x") == Refs(KEY).recipient_ref("a", "x")
    assert len({refs.recipient_ref(t, r) for t in "ab" for r in "xy"} | {Refs(b"k" * 32).recipient_ref("a", "x")}) == 5


def test_signing_secrets_have_the_standard_form() -> None:
    """`whsec_` and base64 of 32 bytes, another per tenant."""
    secret = Refs(KEY).signing_secret("a")
    prefix, _, key = secret.partition("_")
    assert prefix == "whsec"
    assert len(base64.b64decode(key, validate=True)) == 32
    assert secret != Refs(KEY).signing_secret("b")


def test_the_fingerprint_does_not_give_the_key_away() -> None:
    """It only tells whether two keys are the same."""
    assert fingerprint(KEY) == fingerprint(KEY)
    assert fingerprint(KEY) != fingerprint(b"k" * 32)
    assert KEY.hex() not in fingerprint(KEY)

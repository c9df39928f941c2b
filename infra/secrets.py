"""The installation's master key, and what is derived from it per tenant: recipient references and signing secrets.

Place in the flow: made or read once at start; command handlers use `Refs` through their port. Nothing derived is stored
as a secret: whoever has the master key can derive it again, and nobody else can.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import os
import secrets
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from horae.infra.setting_sources import SettingsError

_KEY_BYTES = 32


def master_key(configured: str | None, folder: Path | None) -> bytes:
    """The 32-byte master key: the configured one (64 hex digits or base64), else the one kept in `folder`.

    A folder without one gets a new one, in `master-key`, readable by its owner only.
    Raises `SettingsError` for a malformed key, or when there is neither a key nor a folder.
    """
    if configured:
        return _decode(configured, "ENCRYPTION_KEY")
    if folder is None:
        raise SettingsError("ENCRYPTION_KEY is not set. Give 64 hex digits: openssl rand -hex 32")
    path = folder / "master-key"
    if not path.exists():
        write_private(path, secrets.token_hex(_KEY_BYTES) + "\n")
    return _decode(path.read_text(encoding="ascii").strip(), str(path))


def fingerprint(key: bytes) -> str:
    """What may be stored of a key, to notice later that another one was given."""
    return hmac.new(key, b"horae fingerprint", sha256).hexdigest()[:16]


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its start on. A crash leaves the old or the new one."""
    beside = path.with_name(f"{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


class Refs:
    """Derives per tenant by HMAC-SHA-256; the same inputs give the same texts for ever."""

    def __init__(self, master: bytes) -> None:
        self._master = master
        self._recipients_key = lru_cache(1000)(lambda tenant: self._key("recipient", tenant))

    def recipient_ref(self, tenant: str, recipient: str) -> str:
        """32 hex digits that name a recipient within a tenant and tell nothing about either."""
        # One call into OpenSSL instead of an object that could be fed more.
        return hmac.digest(self._recipients_key(tenant), recipient.encode(), "sha256").hex()[:32]

    def signing_secret(self, tenant: str) -> str:
        """`whsec_` and base64 of the 32-byte key, as in Standard Webhooks."""
        return "whsec_" + base64.b64encode(self._key("webhook", tenant)).decode()

    def _key(self, purpose: str, tenant: str) -> bytes:
        return hmac.new(self._master, f"horae {purpose}\0{tenant}".encode(), sha256).digest()


def _decode(text: str, name: str) -> bytes:
    try:
        key = bytes.fromhex(text) if len(text) == 2 * _KEY_BYTES else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != _KEY_BYTES:
        raise SettingsError(f"{name} is not 32 bytes as 64 hex digits or base64. Make one: openssl rand -hex 32")
    return key

"""How the brokers are spoken to: in the clear or by TLS, with a name and a password, or with a certificate of ours.

Place in the flow: settings -> *here* -> every client of Kafka. Brokers are always checked by name and certificate:
there is no setting to trust whoever answers.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError

from horae.infra.setting_sources import SettingsError
from horae.infra.settings import Settings

if TYPE_CHECKING:
    from faust.auth import Credentials

_ANSWER_MS = 5_000


@dataclass(frozen=True, slots=True)
class Security:
    """One way; `ssl_context` is there with TLS, name and password with SASL."""

    protocol: str = "PLAINTEXT"
    ssl_context: ssl.SSLContext | None = None
    mechanism: str = "PLAIN"
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def options(self) -> dict[str, Any]:
        """What aiokafka's clients are given."""
        return {
            "security_protocol": self.protocol,
            "ssl_context": self.ssl_context,
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
        }

    def credentials(self) -> Credentials | None:
        """What a Faust app is given."""
        from faust.auth import SASLCredentials, SSLCredentials

        if self.username is not None:
            return SASLCredentials(
                username=self.username, password=self.password, ssl_context=self.ssl_context, mechanism=self.mechanism
            )
        return None if self.ssl_context is None else SSLCredentials(self.ssl_context)


PLAIN = Security()


def security_of(settings: Settings) -> Security:
    """What the settings say. Reads the files that they name; raises `SettingsError` naming what is wrong with them."""
    protocol = settings.kafka_security
    password = settings.kafka_password
    return Security(
        protocol,
        _tls(settings) if protocol.endswith("SSL") else None,
        settings.kafka_sasl_mechanism,
        settings.kafka_username,
        password.get_secret_value() if password is not None else None,
    )


async def told(error: BaseException, brokers: str, security: Security) -> str:
    """What went wrong, for people. That a cluster cannot be reached says too little: its first broker is asked why."""
    if isinstance(error, KafkaConnectionError):
        host, _, port = brokers.split(",")[0].strip().rpartition(":")
        try:
            connection = await create_conn(host, int(port), request_timeout_ms=_ANSWER_MS, **security.options())
        except (KafkaError, OSError, TimeoutError, ValueError) as closer:
            error = closer
        else:
            connection.close()
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _tls(settings: Settings) -> ssl.SSLContext:
    authority, certificate, key = settings.kafka_ca_file, settings.kafka_certificate_file, settings.kafka_key_file
    try:
        context = ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"The setting kafka_ca_file is {str(authority)!r}: no PEM certificate ({error})") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        try:
            # Without a password for the key we would be asked for one on the terminal.
            context.load_cert_chain(certificate, key, password="")
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"The settings kafka_certificate_file and kafka_key_file are {str(certificate)!r} and {str(key)!r}: "
                f"no certificate in PEM with the key that belongs to it, without a password ({error})"
            ) from None
    return context

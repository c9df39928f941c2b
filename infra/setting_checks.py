"""What single settings may be, beyond their types.

Place in the flow: named beside the fields of `settings.Settings`; what they raise becomes the message about a setting.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from horae.domain.errors import Invalid
from horae.domain.timing.opendays import USUAL, Hours, Standard
from horae.domain.timing.publicdays import check_country
from horae.domain.timing.zones import check_zone

_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00", re.ASCII)
#: The setting's word for the zone data that are installed.
IANA: Final = "IANA"


def known_zone(name: str) -> str:
    """Raises ValueError with the closest names."""
    try:
        check_zone(name, "zone")
    except Invalid as error:
        raise ValueError(str(error)) from None
    return name


def hours_of_business(text: str) -> str:
    """`09:00-17:00`, several stretches between commas. Raises ValueError for what is none."""
    before = "00:00"
    for stretch in listed(text):
        start, dash, end = stretch.partition("-")
        if not dash or not (_CLOCK.fullmatch(start) and _CLOCK.fullmatch(end) and before <= start < end):
            raise ValueError("write 09:00-17:00, or several stretches in order: 09:00-12:00,13:00-17:00")
        before = end
    if before == "00:00":
        raise ValueError("write 09:00-17:00: without hours nothing would ever be open")
    return text


def known_country(text: str | None) -> str | None:
    """A country, or a part of it: `DE`, `DE-BY`. Raises ValueError with what there is."""
    if text is not None:
        country, _, part = text.partition("-")
        try:
            check_country(country, part or None)  # seconds of importing, for those alone who ask for it
        except Invalid as error:
            raise ValueError(str(error)) from None
    return text


def standard_of(hours: str, country: str | None, *, weekends: bool) -> Standard:
    """What calendars leave out, from checked settings."""
    stretches = tuple(Hours(start=start, end=end) for start, _, end in (each.partition("-") for each in listed(hours)))
    named, _, part = (country or "").partition("-")
    return Standard(stretches, frozenset() if weekends else USUAL.weekend, named or None, part or None)


#: Topics with a meaning to us: who may name the topic of a release may not name these.
OWN_TOPICS = frozenset(
    {
        "horae-log",
        "schedule-commands",
        "schedule-command-replies",
        "schedule-commands-dead",
        "engagement-events",
        "engagement-events-dead",
    }
)


def listed(value: str | None) -> list[str]:
    """What stands between commas."""
    return [item.strip() for item in (value or "").split(",") if item.strip()]


def header(name: str) -> str:
    """Raises ValueError for what cannot be one's name."""
    if not re.fullmatch(r"[A-Za-z0-9-]+", name):
        raise ValueError("a header's name has letters, digits and hyphens, such as X-API-Key")
    return name


def readable(path: Path | None) -> Path | None:
    """Raises ValueError when there is no such file, or none that we may read."""
    if path is not None and not (path.is_file() and os.access(path, os.R_OK)):
        raise ValueError("there is no such file, or this user may not read it")
    return path


#: What only a name and password need, and what only TLS needs.
_FOR_SASL: Final = ("kafka_username", "kafka_password")
_FOR_TLS: Final = ("kafka_ca_file", "kafka_certificate_file", "kafka_key_file")


def check_security(protocol: str, given: Mapping[str, Any]) -> None:
    """Raises ValueError when something that `protocol` needs is not `given`, or something is that it would not use.

    Whoever gives a password or a certificate believes to be protected by it.
    """
    sasl, tls = protocol.startswith("SASL_"), protocol.endswith("SSL")
    for wanted, names, others in ((sasl, _FOR_SASL, "SASL_SSL"), (tls, _FOR_TLS, "SSL or SASL_SSL")):
        for name in names:
            known = given.get(name) is not None
            if known and not wanted:
                raise ValueError(f"{name} is set, which it does not use: give {others}, or leave {name} out")
            if wanted and not known and names is _FOR_SASL:
                raise ValueError(f"{name} is not set, which it needs")
    if given.get("kafka_key_file") is not None and given.get("kafka_certificate_file") is None:
        raise ValueError("kafka_key_file is set without kafka_certificate_file, the certificate that it belongs to")

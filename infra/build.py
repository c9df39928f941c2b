"""What runs, as figures: so that a dashboard shows when a process was replaced, and by what."""

from __future__ import annotations

import platform

from prometheus_client import CollectorRegistry, Gauge

from horae.domain.timing.zones import tzdata_version
from horae.infra.settings import Settings


def build_info(registry: CollectorRegistry, settings: Settings) -> None:
    """Always 1; what it says is in the labels."""
    info = Gauge("horae_build_info", "The version that runs.", ("version", "profile", "python"), registry=registry)
    info.labels(settings.service_version, settings.profile, platform.python_version()).set(1)
    zones = Gauge(
        "horae_zone_data_info", "The release of the zone data that plans are made by.", ("version",), registry=registry
    )
    zones.labels(tzdata_version()).set(1)

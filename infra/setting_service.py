"""The settings that every installation has: the service itself, its keys, its engine, its PostgreSQL.

Place in the flow: `settings.Settings` adds those of Kafka, Elasticsearch and observation; everybody uses that one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from horae import __version__
from horae.infra.default_data import HERE
from horae.infra.setting_checks import IANA, header, hours_of_business, known_country, known_zone
from horae.infra.setting_sources import Named

Port = Annotated[int, Field(ge=1, le=65535)]


class ServiceSettings(BaseSettings):
    """Units are in the names."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    # --- the service ---
    host: Annotated[str, Named("HORAE_HOST", "engine.host", "--host")] = Field(
        "127.0.0.1", description="Address that the API listens on; 0.0.0.0 for every one of the machine's."
    )
    port: Annotated[Port, Named("SCHEDULING_ENGINE_PORT", "engine.port", "--port", ("ENV-01",))] = Field(
        8080, description="TCP port of the API."
    )
    data: Annotated[Path, Named("HORAE_DATA", "engine.dataDirectory", "--data")] = Field(
        HERE,
        description="Folder that holds everything: database, keys, releases of `log:`. As root in a place that "
        "PostgreSQL's user cannot reach, the default is a folder below /var/lib/horae.",
    )
    api_key: Annotated[SecretStr | None, Named("HORAE_API_KEY", None, "--api-key")] = Field(
        None, description="API key of the tenant `default`, installed at start and used by the CLI."
    )
    profile: Annotated[Literal["embedded", "stack"], Named("HORAE_PROFILE", "engine.profile", "--profile")] = Field(
        "embedded",
        description="`embedded`: everything on this machine, with a PostgreSQL of its own; workers read the log there. "
        "`stack`: events go through Kafka to as many workers as there are, and to Elasticsearch.",
    )
    workers: Annotated[int, Named("SCHEDULING_ENGINE_WORKERS", "engine.workers", "--workers", ("ENV-02",))] = Field(
        2,
        ge=1,
        le=64,
        description="Worker processes that `horae run` keeps. Embedded: one works, the others are ready to take over; "
        "stack: all work.",
    )
    clock: Annotated[str, Named("HORAE_CLOCK", "engine.clock", "--clock")] = Field(
        "real", description="`real`, or `virtual=INSTANT`: time stands still until it is advanced over the API."
    )
    allow_private_targets: Annotated[
        bool, Named("HORAE_ALLOW_PRIVATE_TARGETS", "engine.allowPrivateTargets", "--allow-private-targets")
    ] = Field(False, description="Let webhooks and calendars' subscriptions go to private and loopback addresses.")
    calendar_interval_s: Annotated[float, Named("HORAE_CALENDAR_INTERVAL_SECONDS", "engine.calendarInterval")] = Field(
        900,
        gt=0,
        le=86_400,
        description="Shortest interval, in seconds, in which calendars may look at what they subscribe to.",
    )
    default_zone: Annotated[
        str,
        AfterValidator(known_zone),
        Named("DEFAULT_TIMEZONE", "timezone.defaultTimezone", None, ("ENV-31", "CFG-12")),
    ] = Field("UTC", description="Zone where neither the timing nor the recipient names one.")
    zone_data: Annotated[str, Named("TIMEZONE_DATA_SOURCE", "timezone.dataSource", None, ("ENV-29",))] = Field(
        IANA,
        description="Release of the zone data to plan by. `IANA`: the installed `tzdata` package; else the path of a "
        "`tzdata` wheel, or of a folder that one was unpacked into.",
    )
    business_hours: Annotated[
        str,
        AfterValidator(hours_of_business),
        Named("BUSINESS_HOURS_DEFAULT", "timezone.businessHours.default", None, ("ENV-32", "CFG-14")),
    ] = Field("09:00-17:00", description="Business hours of calendars that name none; several stretches by commas.")
    business_on_weekends: Annotated[
        bool, Named("HORAE_BUSINESS_ON_WEEKENDS", "timezone.businessHours.weekends", None, ("CFG-15",))
    ] = Field(False, description="Calendars that name neither weekend nor country work on Saturdays and Sundays, too.")
    business_on_holidays: Annotated[
        bool, Named("HORAE_BUSINESS_ON_HOLIDAYS", "timezone.businessHours.holidays", None, ("CFG-16",))
    ] = Field(False, description="The built-in calendar works on the public holidays of its country, too.")
    holiday_country: Annotated[
        str | None,
        AfterValidator(known_country),
        Named("HORAE_HOLIDAY_COUNTRY", "timezone.businessHours.country"),
    ] = Field(None, description="Country, or part of one (DE-BY), of the built-in calendar's holidays; absent: none.")
    zone_update_url: Annotated[str, Named("TIMEZONE_UPDATE_URL", "timezone.updateUrl")] = Field(
        "https://data.iana.org/time-zones/tzdb/version",
        pattern=r"^(https?://[^/]+.*)?$",
        description="What is asked for the newest release, answering with its name; empty: nobody is asked.",
    )
    zone_update_interval_s: Annotated[
        float, Named("TIMEZONE_UPDATE_INTERVAL", "timezone.updateInterval", None, ("ENV-30",))
    ] = Field(604_800, ge=1, description="How often it is asked, in seconds.")
    ntp_server: Annotated[str | None, Named("NTP_SERVER", "timezone.ntpServer")] = Field(
        None,
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?$",
        description="host or host:port of an NTP server to compare the clock with; absent: it is not compared.",
    )
    service_version: Annotated[str, Named("SERVICE_VERSION", None, None, ("ENV-45",))] = Field(
        __version__, description="Version shown in health reports; the installed one by default."
    )

    # --- security ---
    api_key_header: Annotated[str, AfterValidator(header), Named("API_KEY_HEADER", None, None, ("ENV-34",))] = Field(
        "X-API-Key", description="Header that may carry the API key instead of `Authorization: Bearer`."
    )
    encryption_key: Annotated[SecretStr | None, Named("ENCRYPTION_KEY", None, None, ("ENV-35",))] = Field(
        None, description="Master key, 64 hex digits; made and kept in the data folder when absent."
    )
    rate_limit_requests: Annotated[int, Named("RATE_LIMIT_REQUESTS", None, None, ("ENV-37",))] = Field(
        600_000, ge=1, description="Requests that one API key may make per window."
    )
    rate_limit_window_s: Annotated[int, Named("RATE_LIMIT_WINDOW", None, None, ("ENV-38",))] = Field(
        60, ge=1, le=86_400, description="Length of that window in seconds."
    )
    event_streams_per_key: Annotated[int, Named("HORAE_EVENT_STREAMS_PER_KEY", "engine.eventStreamsPerKey")] = Field(
        50, ge=1, le=10_000, description="Streams of `/v1/events` that one API key may have open at an API process."
    )

    # --- the engine ---
    queue_size: Annotated[int, Named("SCHEDULING_ENGINE_QUEUE_SIZE", "engine.queueSize", None, ("ENV-03",))] = Field(
        10_000, ge=100, description="Events that may wait to be stored; beyond, writes get 503 with Retry-After."
    )
    max_concurrent_executions: Annotated[
        int, Named("HORAE_MAX_CONCURRENT_EXECUTIONS", "engine.maxConcurrentExecutions", None, ("CFG-01",))
    ] = Field(1000, ge=1, le=100_000, description="Releases in flight at once.")
    execution_interval_ms: Annotated[
        int, Named("SCHEDULING_ENGINE_EXECUTION_INTERVAL", "engine.executionInterval", None, ("ENV-05",))
    ] = Field(
        1000, ge=10, le=60_000, description="Longest sleep of the dispatcher without a look at the clock, milliseconds."
    )
    max_retries: Annotated[int, Named("HORAE_MAX_RETRIES", "engine.retryPolicy.maxRetries", None, ("CFG-03",))] = Field(
        3, ge=0, le=20, description="Retries of a failed release, for schedules whose `delivery` has no `retry`."
    )
    backoff_multiplier: Annotated[
        float, Named("HORAE_BACKOFF_MULTIPLIER", "engine.retryPolicy.backoffMultiplier", None, ("CFG-04",))
    ] = Field(2, ge=1, le=10, description="By how much each retry's delay grows.")
    initial_delay_s: Annotated[
        float, Named("HORAE_INITIAL_DELAY_SECONDS", "engine.retryPolicy.initialDelaySeconds", None, ("CFG-05",))
    ] = Field(5, ge=0, le=86_400, description="Delay before the first retry, in seconds.")
    max_delay_s: Annotated[
        float, Named("HORAE_MAX_DELAY_SECONDS", "engine.retryPolicy.maxDelaySeconds", None, ("CFG-06",))
    ] = Field(300, ge=0, le=86_400, description="No retry waits longer, in seconds.")

    # --- PostgreSQL (for `horae api` and `horae worker`; `horae run` brings its own) ---
    dsn: Annotated[SecretStr | None, Named("HORAE_DSN", None, "--dsn")] = Field(
        None, description="Owner's connection URI; made from the POSTGRES_ settings when absent."
    )
    api_dsn: Annotated[SecretStr | None, Named("HORAE_API_DSN", None, "--api-dsn")] = Field(
        None, description="Connection URI of the restricted role `horae_api`, which the API reads with."
    )
    postgres_host: Annotated[str, Named("POSTGRES_HOST", "postgres.host", None, ("ENV-06",))] = Field(
        "localhost", description="Host of an external server."
    )
    postgres_port: Annotated[Port, Named("POSTGRES_PORT", "postgres.port", None, ("ENV-07",))] = Field(
        5432, description="Its port."
    )
    postgres_db: Annotated[str, Named("POSTGRES_DB", "postgres.database", None, ("ENV-08",))] = Field(
        "notifications", description="Its database."
    )
    postgres_user: Annotated[str, Named("POSTGRES_USER", "postgres.user", None, ("ENV-09",))] = Field(
        "scheduler", description="The role that owns the database."
    )
    postgres_password: Annotated[SecretStr | None, Named("POSTGRES_PASSWORD", None, None, ("ENV-10",))] = Field(
        None, description="Its password."
    )
    postgres_max_connections: Annotated[
        int, Named("POSTGRES_MAX_CONNECTIONS", "postgres.maxConnections", None, ("ENV-11",))
    ] = Field(100, ge=30, le=10_000, description="Connections that API and worker together may hold.")
    postgres_connection_timeout_ms: Annotated[
        int, Named("POSTGRES_CONNECTION_TIMEOUT", "postgres.connectionTimeout", None, ("ENV-12",))
    ] = Field(30_000, ge=100, description="How long work waits for a server that is away, in milliseconds; then 503.")
    postgres_long_statement_timeout_ms: Annotated[
        int, Named("HORAE_POSTGRES_LONG_STATEMENT_TIMEOUT", "postgres.longStatementTimeout")
    ] = Field(
        300_000,
        ge=1_000,
        description="How long a statement of the auditor or the learner may take, in milliseconds: they ask about "
        "everything there is, and nobody waits for them.",
    )

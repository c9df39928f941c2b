"""Every setting of the service, with its names, default and meaning; read once per process.

Place in the flow: the CLI loads them and hands them to the processes it starts. Precedence: flags, then the
environment, then the file `scheduling-config.yaml`, then the defaults. Names are the requirement
catalogue's where it has one, else begin with HORAE_. `docs/configuration.md` is generated from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from horae.domain.channel import RELEASE_TOPIC, Offered, parse_channel
from horae.domain.delivery import Retry
from horae.domain.errors import Invalid
from horae.domain.timing.opendays import Standard
from horae.infra.default_data import default_data_folder
from horae.infra.setting_checks import OWN_TOPICS, check_security, listed, readable, standard_of
from horae.infra.setting_service import ServiceSettings
from horae.infra.setting_sources import EnvironmentSource, FileSource, Named, Origin, SettingsError, named

LogLevel = Literal["debug", "info", "warning", "error"]
Readable = Annotated[Path | None, AfterValidator(readable)]


class Settings(ServiceSettings):
    """The effective settings of one process. Units are in the names; see `load` for where values come from."""

    # --- Kafka (stack profile) ---
    kafka_brokers: Annotated[str, Named("KAFKA_BROKERS", "kafka.brokers", None, ("ENV-19",))] = Field(
        "localhost:9092", description="Where to ask for the cluster: host:port, several separated by commas."
    )
    kafka_username: Annotated[str | None, Named("HORAE_KAFKA_USERNAME", "kafka.username")] = Field(
        None, description="Who we are to the brokers, where they ask for a name and a password (SASL)."
    )
    kafka_password: Annotated[SecretStr | None, Named("HORAE_KAFKA_PASSWORD")] = Field(
        None, description="Its password."
    )
    kafka_sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], Named("HORAE_KAFKA_SASL_MECHANISM", "kafka.saslMechanism")
    ] = Field("SCRAM-SHA-512", description="How the password is shown: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.")
    kafka_ca_file: Annotated[Readable, Named("HORAE_KAFKA_CA_FILE", "kafka.caFile")] = Field(
        None, description="Who signed the brokers' certificates, PEM. Absent: the machine's trusted authorities."
    )
    kafka_certificate_file: Annotated[Readable, Named("HORAE_KAFKA_CERTIFICATE_FILE", "kafka.certificateFile")] = Field(
        None, description="Our own certificate with its chain, PEM, where the brokers ask for one."
    )
    kafka_key_file: Annotated[Readable, Named("HORAE_KAFKA_KEY_FILE", "kafka.keyFile")] = Field(
        None, description="Its key, PEM without a password; absent: it stands in the certificate's file."
    )
    # Behind what it is checked against.
    kafka_security: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], Named("HORAE_KAFKA_SECURITY", "kafka.security")
    ] = Field(
        "PLAINTEXT",
        validate_default=True,
        description="How the brokers are spoken to, in Kafka's words: PLAINTEXT, SSL (which is TLS, 1.2 or newer), "
        "SASL_PLAINTEXT or SASL_SSL.",
    )
    kafka_topic_prefix: Annotated[str, Named("HORAE_KAFKA_TOPIC_PREFIX", "kafka.topicPrefix")] = Field(
        "", pattern=r"^[A-Za-z0-9._-]{0,80}$", description="Put before the name of every topic of this installation."
    )
    kafka_topic_schedules: Annotated[
        str, Named("KAFKA_TOPIC_SCHEDULES", "kafka.topics.schedules", None, ("ENV-20",))
    ] = Field("notification-schedules", description="Public copy of what happens to schedules.")
    kafka_topic_executions: Annotated[
        str, Named("KAFKA_TOPIC_EXECUTIONS", "kafka.topics.executions", None, ("ENV-21",))
    ] = Field("schedule-executions", description="Public copy of what happens to occurrences.")
    kafka_release_topics: Annotated[str | None, Named("HORAE_KAFKA_RELEASE_TOPICS", "kafka.topics.releases")] = Field(
        None,
        description="Topics that `kafka:TOPIC` channels may name, without the prefix, separated by commas. Absent: "
        f"`{RELEASE_TOPIC}` in the stack profile, none in the embedded one, where giving some switches the channel on.",
    )
    kafka_consumer_group: Annotated[str, Named("KAFKA_CONSUMER_GROUP", "kafka.consumerGroup", None, ("ENV-22",))] = (
        Field("scheduling-service", description="Consumer group of the workers; search has its own beside it.")
    )
    kafka_batch_size: Annotated[int, Named("KAFKA_BATCH_SIZE", "kafka.batchSize", None, ("ENV-23",))] = Field(
        500, ge=1, le=5_000, description="Events that a worker applies in one transaction."
    )
    kafka_partitions: Annotated[int, Named("HORAE_KAFKA_PARTITIONS", "kafka.partitions")] = Field(
        16, ge=1, le=64, description="Partitions of each topic; more are added at the next start, never fewer."
    )
    kafka_replication: Annotated[int, Named("HORAE_KAFKA_REPLICATION", "kafka.replication")] = Field(
        1, ge=1, le=7, description="Replicas of each topic that we make; 3 in a cluster."
    )
    kafka_min_in_sync: Annotated[int, Named("HORAE_KAFKA_MIN_IN_SYNC", "kafka.minInSyncReplicas")] = Field(
        1, ge=1, le=7, description="Replicas that must have an event before it counts as sent; 2 in a cluster."
    )
    kafka_retention_h: Annotated[float, Named("HORAE_KAFKA_RETENTION_HOURS", "kafka.retentionHours")] = Field(
        168, gt=0, description="How long Kafka keeps events; older ones are read from PostgreSQL."
    )

    # --- Elasticsearch (stack profile) ---
    elasticsearch_url: Annotated[str | None, Named("ELASTICSEARCH_URL", "elasticsearch.url")] = Field(
        None, description="Where search lives, http(s)://host:port; absent: PostgreSQL searches."
    )
    elasticsearch_prefix: Annotated[str, Named("HORAE_ELASTICSEARCH_PREFIX", "elasticsearch.indexPrefix")] = Field(
        "horae", pattern=r"^[a-z0-9][a-z0-9_-]{0,80}$", description="First part of the name of every index."
    )

    # --- observation ---
    metrics_enabled: Annotated[
        bool, Named("METRICS_ENABLED", "monitoring.metricsEnabled", None, ("ENV-40", "CFG-30"))
    ] = Field(True, description="Serve /metrics.")
    health_check_interval_s: Annotated[
        float, Named("HEALTH_CHECK_INTERVAL", "monitoring.healthCheckInterval", None, ("ENV-41",))
    ] = Field(
        30, gt=0, le=3600, description="After so many seconds without progress a worker ends and is started anew."
    )
    tracing_enabled: Annotated[bool, Named("TRACING_ENABLED", "monitoring.tracingEnabled", None, ("ENV-43",))] = Field(
        True, description="Trace requests, commands, read models and releases, if there is somewhere to send the spans."
    )
    jaeger_endpoint: Annotated[str | None, Named("JAEGER_ENDPOINT", "monitoring.jaegerEndpoint", None, ("ENV-44",))] = (
        Field(
            None,
            pattern=r"^https?://[^/]+",
            description="Who takes the spans: Jaeger, or any other receiver of OTLP over HTTP, such as "
            "http://jaeger:4318 (not 14268, where Jaeger takes its old Thrift form). Absent: nothing is traced, and "
            "tracing costs nothing.",
        )
    )
    trace_ratio: Annotated[float, Named("HORAE_TRACE_RATIO", "monitoring.traceRatio")] = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of requests that are traced; those that say so themselves (`traceparent`) always are.",
    )
    log_level: Annotated[LogLevel, Named("LOG_LEVEL", "monitoring.logLevel", "--log-level", ("ENV-42",))] = Field(
        "info", description="debug, info, warning or error."
    )
    log_format: Annotated[Literal["auto", "json", "console"], Named("HORAE_LOG_FORMAT", "monitoring.logFormat")] = (
        Field("auto", description="`json`, `console`, or `auto`: readable on a terminal, else JSON.")
    )

    @field_validator("kafka_security")
    @classmethod
    def _whole(cls, value: str, info: ValidationInfo) -> str:
        check_security(value, info.data)
        return value

    @field_validator("kafka_release_topics")
    @classmethod
    def _foreign_topics(cls, value: str | None, info: ValidationInfo) -> str | None:
        own = OWN_TOPICS | {info.data.get("kafka_topic_schedules"), info.data.get("kafka_topic_executions")}
        for topic in listed(value):
            try:
                parse_channel(f"kafka:{topic}")
            except Invalid as error:
                raise ValueError(f"{topic!r}: {error.message}") from None
            if topic in own or topic.startswith("__"):
                raise ValueError(f"{topic} is not for releases: a tenant could write there what we or others rely on")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("clock")
    @classmethod
    def _real_or_virtual(cls, value: str) -> str:
        if value not in ("real", "virtual"):
            kind, _, text = value.partition("=")
            example = "give `real`, or `virtual=2027-01-01T00:00:00Z`"
            if kind != "virtual":
                raise ValueError(example)
            try:
                instant = datetime.fromisoformat(text)
            except ValueError:
                raise ValueError(example) from None
            if instant.tzinfo is None:
                raise ValueError(f"the instant needs an offset: {example}")
        return value

    @property
    def default_retry(self) -> Retry:
        """What schedules get that say nothing about retries; the longest delay is never below the first."""
        first = timedelta(seconds=self.initial_delay_s)
        return Retry(
            retries=self.max_retries,
            delay=first,
            factor=self.backoff_multiplier,
            max_delay=max(first, timedelta(seconds=self.max_delay_s)),
        )

    @property
    def offered(self) -> Offered:
        """The channels that can be asked for here."""
        if self.kafka_release_topics is None:
            return Offered(frozenset({RELEASE_TOPIC}) if self.profile == "stack" else frozenset())
        return Offered(frozenset(listed(self.kafka_release_topics)))

    @property
    def standard(self) -> Standard:
        """What calendars leave out."""
        country = None if self.business_on_holidays else self.holiday_country
        return standard_of(self.business_hours, country, weekends=self.business_on_weekends)

    @property
    def virtual(self) -> bool:
        """Whether time stands still until it is advanced."""
        return self.clock != "real"

    @property
    def virtual_start(self) -> datetime | None:
        """The instant named by `virtual=INSTANT`, aware UTC."""
        _, _, text = self.clock.partition("=")
        return datetime.fromisoformat(text).astimezone(UTC) if text else None

    def owner_dsn(self) -> str:
        """The owner role's connection URI; holds a password."""
        if self.dsn is not None:
            return self.dsn.get_secret_value()
        password = f":{quote(self.postgres_password.get_secret_value(), safe='')}" if self.postgres_password else ""
        where = f"{self.postgres_host}:{self.postgres_port}/{quote(self.postgres_db, safe='')}"
        return f"postgresql://{quote(self.postgres_user, safe='')}{password}@{where}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `load` has merged the places already, because it also has to tell which one won.
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, where each came from (by field name), and the file's keys that have no effect in this version."""

    settings: Settings
    origins: dict[str, Origin]
    without_effect: list[str]


def load(flags: dict[str, Any] | None = None, config: Path | None = None) -> Loaded:
    """Read the settings: `flags` (by field name, None: not given) over the environment over the file over defaults.

    `config` names the file; else HORAE_CONFIG does; else `scheduling-config.yaml` is read if it is here.
    Raises `SettingsError` naming the setting as it is called where it was set.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    file = FileSource(Settings, config)
    in_environment, in_file = EnvironmentSource(Settings)(), file()
    merged: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for name, field in Settings.model_fields.items():
        names = named(field)
        for kind, called, values in (
            ("flag", names.flag or name, given),
            ("environment", names.env, in_environment),
            ("file", f"{file.path}, {names.file}", in_file),
        ):
            if name in values:
                merged[name], origins[name] = values[name], Origin(kind, called)
                break
        else:
            origins[name] = Origin("default", "")
    if "data" not in merged:
        merged["data"] = default_data_folder()
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(problem, merged, origins) for problem in error.errors())) from None
    return Loaded(settings, origins, file.without_effect)


def _explain(problem: Any, merged: dict[str, Any], origins: dict[str, Origin]) -> str:
    name = str(problem["loc"][0])
    secret = "SecretStr" in str(Settings.model_fields[name].annotation)
    value = "" if secret else f" is {str(merged.get(name))!r}"
    return f"The setting {name} ({origins[name]}){value}: {problem['msg'].removeprefix('Value error, ')}"

"""Settings: which place wins, what each is called, and errors that name the setting as its writer wrote it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from horae.infra.cli.configuring import reference
from horae.infra.kafka.security import security_of
from horae.infra.setting_sources import WITHOUT_EFFECT, SettingsError, named
from horae.infra.settings import Settings, load

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings file here, and none of our variables in the environment."""
    monkeypatch.chdir(tmp_path)
    for field in Settings.model_fields.values():
        monkeypatch.delenv(named(field).env, raising=False)
    monkeypatch.delenv("HORAE_CONFIG", raising=False)


def write(settings: dict[str, object], path: Path = Path("scheduling-config.yaml")) -> Path:
    path.write_text(yaml.safe_dump({"scheduling": settings}))
    return path


@pytest.mark.covers("API-11")
def test_defaults_are_the_catalogues() -> None:
    """Without flags, environment and file, the catalogue's defaults hold."""
    settings = load().settings
    assert settings.port == 8080
    assert settings.default_zone == "UTC"
    assert settings.queue_size == 10_000
    assert settings.api_key_header == "X-API-Key"
    assert (settings.max_retries, settings.backoff_multiplier) == (3, 2)
    assert (settings.initial_delay_s, settings.max_delay_s) == (5, 300)
    assert settings.max_concurrent_executions == 1000
    assert (settings.postgres_host, settings.postgres_port) == ("localhost", 5432)
    assert (settings.postgres_db, settings.postgres_user) == ("notifications", "scheduler")
    assert (settings.postgres_max_connections, settings.postgres_connection_timeout_ms) == (100, 30_000)
    assert (settings.metrics_enabled, settings.health_check_interval_s, settings.log_level) == (True, 30, "info")


@pytest.mark.covers("OPS-17")
def test_flags_win_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each place wins over the ones behind it, and the origin says which one did."""
    write({"engine": {"port": 1001, "queueSize": 1001}, "monitoring": {"logLevel": "error"}})
    monkeypatch.setenv("SCHEDULING_ENGINE_PORT", "1002")
    monkeypatch.setenv("SCHEDULING_ENGINE_QUEUE_SIZE", "1002")
    loaded = load({"port": 1003, "host": None})
    settings, origins = loaded.settings, loaded.origins
    assert (settings.port, settings.queue_size, settings.log_level, settings.host) == (1003, 1002, "error", "127.0.0.1")
    assert str(origins["port"]) == "flag --port"
    assert str(origins["queue_size"]) == "environment: SCHEDULING_ENGINE_QUEUE_SIZE"
    assert str(origins["log_level"]) == "file: scheduling-config.yaml, monitoring.logLevel"
    assert str(origins["host"]) == "default"


#: Rows whose default is another than the catalogue's, on purpose: docs/adr says why.
OTHER_DEFAULTS = {"ENV-02", "ENV-37", "ENV-38", "ENV-44", "ENV-45"}


def catalogue() -> dict[str, tuple[str, str]]:
    """Name and default of every ENV and CFG row."""
    rows = {}
    for line in (ROOT / "docs" / "requirements.md").read_text().splitlines():
        if line.startswith(("| ENV-", "| CFG-")):
            cells = [cell.strip() for cell in line.split("|")]
            rows[cells[1]] = (cells[2].strip("`"), cells[3].strip("`").strip('"'))
    return rows


def of_the_catalogue() -> list[Any]:
    settings = [(name, named(field).rows) for name, field in Settings.model_fields.items()]
    return [
        pytest.param(name, row, id=row, marks=() if row in OTHER_DEFAULTS else pytest.mark.covers(row))
        for name, rows in settings
        for row in rows
    ]


@pytest.mark.parametrize(("name", "row"), of_the_catalogue())
def test_each_setting_is_called_as_in_the_catalogue(name: str, row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the catalogue's name and default, and what is set by that name takes effect."""
    field = Settings.model_fields[name]
    called, default = catalogue()[row]
    if row not in OTHER_DEFAULTS:
        told = "none" if field.default is None else str(field.default).lower()
        assert told == default.lower()
    values: dict[str, Any] = {
        "default_zone": "Europe/Berlin",
        "business_hours": "10:00-12:00,13:00-18:00",
        "business_on_weekends": True,
        "business_on_holidays": True,
        "encryption_key": "ab" * 32,
        "log_level": "debug",
        "metrics_enabled": False,
        "tracing_enabled": False,
        "jaeger_endpoint": "http://jaeger:4318",
    }
    numeric = type(field.default) in (int, float)
    given = values[name] if name in values else field.default + 1 if numeric else "other"
    if row.startswith("ENV"):
        assert named(field).env == called
        monkeypatch.setenv(called, str(given))
    else:
        assert named(field).file == called
        tree: dict[str, Any] = {called.split(".")[-1]: given}
        for key in reversed(called.split(".")[:-1]):
            tree = {key: tree}
        write(tree)
    effective = getattr(load().settings, name)
    assert (effective.get_secret_value() if isinstance(effective, SecretStr) else effective) == given
    assert load().origins[name].kind == ("environment" if row.startswith("ENV") else "file")


def test_the_file_uses_the_catalogues_keys() -> None:
    """Keys stand under `scheduling` as the catalogue writes them."""
    write(
        {
            "engine": {"maxConcurrentExecutions": 7, "retryPolicy": {"maxRetries": 1, "initialDelaySeconds": 2}},
            "timezone": {"defaultTimezone": "Asia/Tokyo"},
        }
    )
    settings = load().settings
    assert settings.max_concurrent_executions == 7
    assert (settings.max_retries, settings.initial_delay_s, settings.default_zone) == (1, 2, "Asia/Tokyo")


def test_keys_of_parts_that_are_not_built_are_accepted_and_told() -> None:
    """One file serves this version and later ones, but nobody believes that such a key has an effect."""
    write({"campaigns": {"maxPhasesPerCampaign": 3}})
    assert load().without_effect == ["campaigns.maxPhasesPerCampaign"]


def test_a_file_named_by_variable_or_flag_is_read_instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """--config wins over HORAE_CONFIG, which wins over the file in the working folder."""
    write({"engine": {"port": 1}})
    by_variable = write({"engine": {"port": 2}}, tmp_path / "variable.yaml")
    by_flag = write({"engine": {"port": 3}}, tmp_path / "flag.yaml")
    assert load().settings.port == 1
    monkeypatch.setenv("HORAE_CONFIG", str(by_variable))
    assert load().settings.port == 2
    assert load(config=by_flag).settings.port == 3


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SCHEDULING_ENGINE_PORT", "http", "The setting port (environment: SCHEDULING_ENGINE_PORT) is 'http'"),
        ("SCHEDULING_ENGINE_PORT", "70000", "less than or equal to 65535"),
        ("DEFAULT_TIMEZONE", "Europe/Berln", "Did you mean Europe/Berlin"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("HORAE_CLOCK", "virtual=tomorrow", "virtual=2027-01-01T00:00:00Z"),
        ("HORAE_CLOCK", "virtual=2027-01-01T00:00:00", "needs an offset"),
        ("API_KEY_HEADER", "my key", "letters, digits and hyphens"),
    ],
)
def test_a_wrong_value_is_refused_naming_the_setting(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the setting as it was set, the value, and what is right."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as error:
        load()
    assert message in str(error.value)
    assert variable in str(error.value)


def test_secrets_never_appear_in_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that is not even text is refused without being repeated."""
    with pytest.raises(SettingsError) as error:
        load({"api_key": 12345678901})
    assert "12345678901" not in str(error.value)
    assert "--api-key" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "scheduling: {engine: {prot: 1}}",
            "there is no setting scheduling.engine.prot. Did you mean scheduling.engine.port?",
        ),
        ("engine: {port: 1}", "single root key `scheduling:`"),
        ("scheduling: [", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_naming_the_key(text: str, message: str) -> None:
    """A misspelt key would else silently leave a default in force."""
    Path("scheduling-config.yaml").write_text(text)
    with pytest.raises(SettingsError) as error:
        load()
    assert message in str(error.value)


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files pass variables on that nobody has set."""
    monkeypatch.setenv("SCHEDULING_ENGINE_PORT", "")
    assert load().settings.port == 8080


def test_the_postgres_settings_make_the_connection_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a whole URI is given, it is put together, with everything quoted that needs it."""
    for name, value in {"HOST": "db", "PORT": "6543", "DB": "n", "USER": "s", "PASSWORD": "a/b@c"}.items():
        monkeypatch.setenv(f"POSTGRES_{name}", value)
    assert load().settings.owner_dsn() == "postgresql://s:a%2Fb%40c@db:6543/n"
    monkeypatch.setenv("HORAE_DSN", "postgresql://elsewhere/x")
    assert load().settings.owner_dsn() == "postgresql://elsewhere/x"


def test_the_reference_in_the_docs_is_what_the_code_says() -> None:
    """`docs/configuration.md` is made by `horae config --markdown`."""
    assert (ROOT / "docs" / "configuration.md").read_text() == reference()


def test_every_key_of_the_catalogues_file_is_known() -> None:
    """Each CFG row is either a setting or among those that have no effect yet."""
    text = (ROOT / "docs" / "requirements.md").read_text()
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| CFG-")]
    keys = {row[2].strip().strip("`") for row in rows}
    known = {named(field).file for field in Settings.model_fields.values()} | WITHOUT_EFFECT
    assert keys <= known


def test_releases_go_to_the_one_topic_of_the_stack_or_to_those_that_are_listed() -> None:
    """The embedded profile has none unless some are given."""
    assert load().settings.offered.kafka_topics == frozenset()
    assert load({"profile": "stack"}).settings.offered.kafka_topics == {"notifications-due"}
    listed = load({"kafka_release_topics": "sms-due, push-due"}).settings
    assert listed.offered.kafka_topics == {"sms-due", "push-due"}
    assert load({"profile": "stack", "kafka_release_topics": ""}).settings.offered.kafka_topics == frozenset()


@pytest.mark.parametrize(
    "topic", ["horae-log", "schedule-commands", "notification-schedules", "schedule-executions", "__offsets", "a b"]
)
def test_no_tenant_can_be_let_into_the_topics_that_we_rely_on(topic: str) -> None:
    """Nor into one that Kafka would not take."""
    with pytest.raises(SettingsError, match="kafka_release_topics"):
        load({"kafka_release_topics": f"notifications-due,{topic}"})


SASL = {"kafka_security": "SASL_SSL", "kafka_username": "horae", "kafka_password": "secret-word"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kafka_security": "TLS"}, "'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL'"),
        ({"kafka_security": "SASL_SSL", "kafka_username": "horae"}, "kafka_password is not set"),
        ({"kafka_security": "SASL_PLAINTEXT", "kafka_password": "secret-word"}, "kafka_username is not set"),
        ({**SASL, "kafka_security": "SSL"}, "kafka_username is set, which it does not use: give SASL_SSL"),
        ({"kafka_password": "secret-word"}, "kafka_password is set, which it does not use: give SASL_SSL"),
        ({"kafka_ca_file": "here.pem"}, "kafka_ca_file is set, which it does not use: give SSL or SASL_SSL"),
        ({"kafka_security": "SSL", "kafka_key_file": "here.pem"}, "without kafka_certificate_file"),
        ({"kafka_security": "SSL", "kafka_ca_file": "nowhere.pem"}, "is 'nowhere.pem': there is no such file"),
    ],
)
def test_half_of_what_secures_kafka_is_refused(given: dict[str, str], message: str) -> None:
    """Whoever gives a password or a certificate must not believe to be protected by it when nothing uses it."""
    Path("here.pem").write_text("")
    with pytest.raises(SettingsError) as error:
        load(given)
    assert message in str(error.value)
    assert "secret-word" not in str(error.value)


def test_kafka_is_reached_as_the_settings_say() -> None:
    """In the clear unless something is said; with TLS brokers are checked, and nothing older than 1.2 is spoken."""
    assert security_of(load().settings).options()["security_protocol"] == "PLAINTEXT"
    assert security_of(load().settings).credentials() is None
    security = security_of(load(SASL).settings)
    context = security.ssl_context
    assert context is not None
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert "secret-word" not in repr(security) + repr(load(SASL).settings)
    assert security.options()["sasl_plain_password"] == "secret-word"


@pytest.mark.parametrize("name", ["kafka_ca_file", "kafka_certificate_file"])
def test_a_file_that_holds_no_certificate_is_refused_by_name(name: str) -> None:
    """At the start, and not as a broker that cannot be reached."""
    Path("here.pem").write_text("no certificate")
    with pytest.raises(SettingsError, match=rf"{name}.*'here\.pem'"):
        security_of(load({"kafka_security": "SSL", name: "here.pem"}).settings)

"""Where a setting's value may come from: flags, then the environment, then the file, then its default.

Place in the flow: read by `settings.load`, nobody else. A setting names its places beside its field (`Named`), so that
the catalogue's names live in one place, for reading, for `horae config` and for the documentation.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

FILE_NAME = "scheduling-config.yaml"
ROOT_KEY = "scheduling"
FILE_VARIABLE = "HORAE_CONFIG"

#: Keys of the catalogue's file for parts that this version lacks or has fixed: accepted, reported, without effect.
WITHOUT_EFFECT = frozenset(
    {
        "engine.executionTimeoutSeconds",
        "performance.batchSize",
        "optimization.enabled",
        "optimization.modelUpdateInterval",
        "optimization.confidenceThreshold",
        "optimization.fallbackStrategy",
        "optimization.abTestingEnabled",
        "timezone.dstHandling",
        "timezone.businessHours.default",
        "timezone.businessHours.weekends",
        "timezone.businessHours.holidays",
        "recurring.maxFutureInstances",
        "recurring.generationBatchSize",
        "recurring.cleanupInterval",
        "campaigns.maxPhasesPerCampaign",
        "campaigns.maxUsersPerCampaign",
        "campaigns.progressTrackingEnabled",
        "performance.cacheEnabled",
        "performance.cacheTTL",
        "performance.batchProcessing",
        "security.encryptionEnabled",
        "security.auditLogging",
        "security.accessControl",
        "monitoring.healthChecks",
        "monitoring.alerting",
        "compliance.gdprCompliant",
        "compliance.dataRetentionDays",
        "compliance.auditRetentionDays",
    }
)


class SettingsError(Exception):
    """A setting cannot be used; the message names it as its reader wrote it, the value, and what to do."""


@dataclass(frozen=True, slots=True)
class Named:
    """How a setting is called in each place; `rows` are its ids in the requirements."""

    env: str
    file: str | None = None
    flag: str | None = None
    rows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an effective value came from: `kind` is "flag", "environment", "file" or "default"."""

    kind: str
    name: str

    def __str__(self) -> str:
        return {"default": "default", "flag": f"flag {self.name}"}.get(self.kind, f"{self.kind}: {self.name}")


def named(field: FieldInfo) -> Named:
    """The names of a setting. Every field of `Settings` has exactly one `Named`."""
    return next(extra for extra in field.metadata if isinstance(extra, Named))


class EnvironmentSource(PydanticBaseSettingsSource):
    """Environment variables by the catalogue's names; an empty one counts as absent, as it does in compose files."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return os.environ.get(named(field).env) or None, named(field).env, False

    def __call__(self) -> dict[str, Any]:
        found = ((name, self.get_field_value(field, name)[0]) for name, field in self.settings_cls.model_fields.items())
        return {name: value for name, value in found if value is not None}


class FileSource(PydanticBaseSettingsSource):
    """The YAML file: `scheduling-config.yaml` here, or the one that a flag or HORAE_CONFIG names."""

    def __init__(self, settings_cls: type[BaseSettings], config: Path | None) -> None:
        super().__init__(settings_cls)
        chosen = config or (Path(os.environ[FILE_VARIABLE]) if os.environ.get(FILE_VARIABLE) else None)
        if chosen is not None and not chosen.is_file():
            raise SettingsError(f"The settings file {chosen} is not there. Create it, or leave its name out.")
        self.path = chosen or (Path(FILE_NAME) if Path(FILE_NAME).is_file() else None)
        self.values = dict(_flatten(_read(self.path))) if self.path else {}
        #: Keys that were given and have no effect in this version.
        self.without_effect = sorted(self.values.keys() & WITHOUT_EFFECT)
        self._refuse_unknown()

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        key = named(field).file
        return (self.values.get(key) if key else None), key or field_name, False

    def __call__(self) -> dict[str, Any]:
        found = ((name, self.get_field_value(field, name)[0]) for name, field in self.settings_cls.model_fields.items())
        return {name: value for name, value in found if value is not None}

    def _refuse_unknown(self) -> None:
        known = {named(field).file for field in self.settings_cls.model_fields.values()} | WITHOUT_EFFECT
        for key in self.values:
            if key not in known:
                close = difflib.get_close_matches(key, [name for name in known if name], n=1)
                hint = f" Did you mean {ROOT_KEY}.{close[0]}?" if close else ""
                raise SettingsError(f"{self.path}: there is no setting {ROOT_KEY}.{key}.{hint}")


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error}") from None
    if document is None:
        return {}
    if not isinstance(document, dict) or set(document) != {ROOT_KEY} or not isinstance(document[ROOT_KEY], dict | None):
        raise SettingsError(f"The settings file {path} must hold one mapping under the single root key `{ROOT_KEY}:`.")
    return document[ROOT_KEY] or {}


def _flatten(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{above}{key}"
        if isinstance(value, dict):
            yield from _flatten(value, f"{name}.")
        else:
            yield name, value

"""`horae config`: the effective settings and where each came from; also the source of `docs/configuration.md`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from rich.text import Text

from horae.infra.cli.output import console, say, show_json, table
from horae.infra.setting_sources import FILE_NAME, FILE_VARIABLE, ROOT_KEY, WITHOUT_EFFECT, named
from horae.infra.settings import Loaded, Settings, load

_MASK = "********"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("config")(config)


def config(
    config: Path | None = typer.Option(None, "--config", help="Settings file to read."),
    port: int | None = typer.Option(None, "--port", help="As if given to `horae run`."),
    data: Path | None = typer.Option(None, "--data", help="As if given to `horae run`."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
    markdown: bool = typer.Option(False, "--markdown", help="Print the reference that docs/configuration.md holds."),
) -> None:
    """Show every effective setting, secrets masked, and where it came from."""
    if markdown:
        print(reference(), end="")
        return
    loaded = load({"port": port, "data": data}, config)
    if as_json:
        show_json({name: _facts(loaded, name) for name in Settings.model_fields})
        return
    rows = [
        (name, _shown(getattr(loaded.settings, name)), _coloured(str(loaded.origins[name])))
        for name in Settings.model_fields
    ]
    table(("setting", "value", "from"), rows)
    for key in loaded.without_effect:
        say(f"{ROOT_KEY}.{key} is set in the file; this version has no part that reads it.", "yellow")
    console.print(Text("Flags win over the environment, that over the file, that over the defaults.", style="dim"))


def reference() -> str:
    """Every setting as a Markdown document: names in each place, default, meaning, rows of the requirements."""
    lines = [
        "# Settings",
        "",
        "<!-- Made by `horae config --markdown`; a test compares the two. -->",
        "",
        f"A value comes from the first place that has one: **flags**, the **environment**, the file `{FILE_NAME}`",
        f"(in the working folder, or by `--config` or `{FILE_VARIABLE}`; one root key `{ROOT_KEY}:`), the **default**.",
        "So what a person types wins over what the machine is set up with, and that over what was rolled out by file.",
        "An empty environment variable counts as absent. An unknown key in the file is an error.",
        "`horae config` prints the effective values and where each came from, secrets masked.",
        "",
        "| Flag | Environment | File (under `scheduling.`) | Default | Meaning | Rows |",
        "|---|---|---|---|---|---|",
    ]
    for field in Settings.model_fields.values():
        names = named(field)
        cells = (
            _code(names.flag),
            _code(names.env),
            _code(names.file),
            _code(_default(field)),
            str(field.description),
            " ".join(names.rows),
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "## Keys without effect in this version",
        "",
        "The catalogue's file has keys for parts that are not built or are fixed. They are accepted, so that one file",
        "serves, and named at start and by `horae config`:",
        "",
        ", ".join(f"`{key}`" for key in sorted(WITHOUT_EFFECT)) + ".",
        "",
    ]
    return "\n".join(lines)


def _facts(loaded: Loaded, name: str) -> dict[str, Any]:
    origin = loaded.origins[name]
    value = getattr(loaded.settings, name)
    shown = _MASK if isinstance(value, SecretStr) else str(value) if isinstance(value, Path) else value
    return {"value": shown, "from": origin.kind, "name": origin.name or None}


def _shown(value: object) -> str | None:
    if value is None:
        return None
    return _MASK if isinstance(value, SecretStr) else str(value)


def _coloured(origin: str) -> Text:
    return Text(origin, style="dim" if origin == "default" else "green")


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""


def _default(field: FieldInfo) -> str | None:
    if named(field).env == "SERVICE_VERSION":
        return "the installed version"
    return (
        None
        if field.default is None
        else str(field.default).lower()
        if isinstance(field.default, bool)
        else str(field.default)
    )

"""The `horae` command: joins the groups of commands, and turns every expected error into one clear line.

Exit codes: 0 done, 1 refused or failed (the reason is on standard error), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

import typer

from horae import __version__
from horae.infra.cli.output import fail

#: Each module adds its commands by `register(app)`. Only the one that is needed is imported: it saves a second.
GROUPS = {
    "running": ("run", "api", "worker"),
    "relaying": ("relay", "asyncapi"),
    "schedules": ("list", "explain", "schedule"),
    "changing": ("change",),
    "backfilling": ("backfill",),
    "searching": ("search", "indexer"),
    "previewing": ("preview",),
    "zoning": ("tz",),
    "calendars": ("calendar",),
    "moves": ("recipient",),
    "importing": ("import",),
    "keys": ("keys",),
    "feeds": ("feed",),
    "configuring": ("config",),
    "stacking": ("stack",),
    "maintaining": ("migrate", "rebuild"),
    "parking": ("parked",),
    "replaying": ("replay", "record"),
}

app = typer.Typer(
    name="horae",
    help="The right message, at the right moment, once, and it can say why.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _version(
    version: bool = typer.Option(False, "--version", help="Print the version and leave.", is_eager=True),
) -> None:
    if version:
        print(f"horae {__version__}")
        raise typer.Exit


def groups(arguments: Sequence[str]) -> list[ModuleType]:
    """The modules whose commands the arguments can mean: one if they begin with a command, else all."""
    named = [name for name, commands in GROUPS.items() if arguments and arguments[0] in commands]
    return [importlib.import_module(f"horae.infra.cli.{name}") for name in named or GROUPS]


def main() -> None:
    """The entry point of the installed command."""
    for group in groups(sys.argv[1:]):
        group.register(app)
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if (told := _told(error)) is None:
            raise
        fail(*told)


def _told(error: Exception) -> tuple[str, str | None] | None:
    """What an expected error says, and what to do; None: nobody expected it."""
    import httpx

    from horae.domain.errors import HoraeError
    from horae.infra.postgres import ClusterError, MigrationError
    from horae.infra.problems import Refused
    from horae.infra.processes.installation import InUseError
    from horae.infra.rebuild import RebuildRunning
    from horae.infra.setting_sources import SettingsError
    from horae.infra.stack import StackError

    match error:
        case Refused():
            if met := error.problem.get("conflicts"):
                from horae.infra.cli.meeting import show_meetings

                show_meetings(met)
            return error.text, error.hint
        case HoraeError():
            return (f"{error.field}: {error.message}" if error.field else error.message), error.hint
        case SettingsError() | InUseError() | ClusterError() | MigrationError() | RebuildRunning() | StackError():
            return str(error), None
        case httpx.TransportError():
            url = error.request.url
            return (
                f"The API at {url} does not answer ({error}).",
                "Is `horae run` running? Give --url if it is elsewhere.",
            )
        case _:
            return None


if __name__ == "__main__":
    main()

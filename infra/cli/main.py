"""The `horae` command: joins the groups of commands, and turns every expected error into one clear line.

Exit codes: 0 done, 1 refused or failed (the reason is on standard error), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import time

_BEGAN = time.monotonic()

import sys  # noqa: E402 - the clock starts before the imports, which are part of the start

import httpx  # noqa: E402
import typer  # noqa: E402

from horae import __version__  # noqa: E402
from horae.domain.errors import HoraeError  # noqa: E402
from horae.infra.cli import configuring, importing, keys, maintaining, previewing, running, schedules  # noqa: E402
from horae.infra.cli.client import Refused  # noqa: E402
from horae.infra.cli.output import fail  # noqa: E402
from horae.infra.postgres import ClusterError, MigrationError  # noqa: E402
from horae.infra.processes.installation import InUseError  # noqa: E402
from horae.infra.setting_sources import SettingsError  # noqa: E402

#: Add a module here to add its commands.
GROUPS = (running, schedules, previewing, importing, keys, configuring, maintaining)

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


for group in GROUPS:
    group.register(app)


def main() -> None:
    """The entry point of the installed command."""
    running.BEGAN = _BEGAN
    try:
        app()
    except Refused as refused:
        fail(refused.text, refused.hint)
    except (SettingsError, InUseError, ClusterError, MigrationError) as error:
        fail(str(error))
    except HoraeError as error:
        fail(f"{error.field}: {error.message}" if error.field else error.message, error.hint)
    except httpx.TransportError as error:
        fail(
            f"The API at {error.request.url} does not answer ({error}).", "Is `horae run` running? Give --url if it is."
        )
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

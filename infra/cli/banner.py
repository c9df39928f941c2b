"""What `horae run` says once it serves: where, with which key, and a first schedule to paste.

Place in the flow: called by the supervisor when `/readyz` answers 200. Everything printed works as printed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.text import Text

from horae import __version__
from horae.infra.cli.output import console
from horae.infra.processes.supervisor import Started
from horae.infra.settings import load

_FIRST = {
    "recipient": "user-17",
    "channel": "log:",
    "content": {"subject": "Hello"},
    "timing": {"kind": "in", "delay": "PT5S"},
}


def announce(started: Started) -> None:
    """Print it, for people on a terminal with colours, else plain; flushed, since a program may wait for it."""
    console.print(Text(f"\nHorae {__version__} is ready", style="bold green") + Text(f" ({started.start_s:.1f} s)"))
    rows = [
        ("API", started.url),
        ("Docs", f"{started.url}/docs"),
        ("API key", f"{started.api_key}{'  (made just now)' if started.first_start else ''}"),
        ("Data", _shown(started.installation.folder)),
    ]
    if started.settings.virtual:
        rows.append(("Clock", "virtual: it stands still until POST /v1/clock/advance"))
    for name, value in rows:
        console.print(Text(f"  {name:<8}", style="bold") + Text(value))
    when = "when the clock is moved" if started.settings.virtual else "in five seconds"
    console.print(Text(f"\nA first schedule, released {when} to a local file:\n", style="bold"))
    print(_request(started, "/v1/schedules", _FIRST))
    if started.settings.virtual:
        print("\n" + _request(started, "/v1/clock/advance", {"by": "PT5S"}))
    console.print(Text("\nWhat was released:\n", style="bold"))
    print(f"  tail -f {_shown(started.installation.releases)}")
    console.print(Text("\nWhat there is, and why each went out when it did:\n", style="bold"))
    print(f"  {_command()} list{_data_flag(started)}")
    print(f"  {_command()} explain ID{_data_flag(started)}")
    console.print(Text("\nCtrl-C stops everything; the next start resumes.\n"))
    sys.stdout.flush()


def _request(started: Started, path: str, body: dict[str, Any]) -> str:
    return (
        f"  curl -sS {started.url}{path} \\\n"
        f"    -H 'Authorization: Bearer {started.api_key}' -H 'Content-Type: application/json' \\\n"
        f"    -d '{json.dumps(body)}'"
    )


def _command() -> str:
    """This program as it can be typed where it was started."""
    program = Path(sys.argv[0])
    return _shown(program.absolute()) if program.exists() else "horae"


def _data_flag(started: Started) -> str:
    """What commands must be told to find this service; nothing where they look by themselves."""
    folder = started.installation.folder
    return "" if folder == load().settings.data.absolute() else f" --data {_shown(folder)}"


def _shown(path: Path) -> str:
    """As short as it stays right for somebody who reads it where the command was typed."""
    try:
        short = path.relative_to(Path.cwd())
    except ValueError:
        return str(path)
    return str(short)

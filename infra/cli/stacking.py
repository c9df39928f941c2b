"""`horae stack`: PostgreSQL, Kafka and Elasticsearch on this machine, without containers.

Place in the flow: for development and CI; what `up` prints makes `horae api`, `worker` and the rest use them. The
servers lie in `stack/` below the data folder, apart from what `horae run` keeps there.
"""

from __future__ import annotations

import asyncio
import shlex
import threading
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from horae.infra.cli.output import errors, fail, say, show_json, table
from horae.infra.settings import load
from horae.infra.stack import StackError
from horae.infra.stack.identity import ProcessIdentity
from horae.infra.stack.keeper import detach, keep
from horae.infra.stack.local import settings_of
from horae.infra.stack.maven import missing
from horae.infra.stack.state import ServerState, StackState, end

_Data = typer.Option(None, "--data", help="Data folder; the servers lie in `stack/` below it. Default: .horae")
_LOOK_AGAIN_S = 0.2

_stack = typer.Typer(help="Real PostgreSQL, Kafka and Elasticsearch on this machine.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(_stack, name="stack")


@_stack.command()
def up(
    data: Path | None = _Data,
    foreground: bool = typer.Option(
        False, "--foreground/--detach", help="Stay until Ctrl-C, or leave them running (the default) until `down`."
    ),
) -> None:
    """Start the three servers and print how to reach them. The first time they are fetched with Maven."""
    folder = _folder(data)
    state = StackState.read(folder)
    if state is not None and state.keeper.alive:
        if not state.ready:
            fail(f"The stack on {folder} is being started by process {state.keeper.pid}.", "See `horae stack status`.")
        if gone := [name for name, server in state.servers.items() if not server.alive]:
            fail(f"Of the stack on {folder}, {' and '.join(gone)} ended.", "Start anew: horae stack down, then up.")
        say("It is up already.")
        _show(folder, state)
        return
    if lacks := missing():
        raise StackError(" ".join(lacks))
    if foreground:
        errors.print("Starting PostgreSQL, Kafka and Elasticsearch ... (Ctrl-C ends them)")
        asyncio.run(keep(folder, lambda: _show(folder, _state(folder))))
        return
    _show(folder, _started(folder))
    say("\nThey run until `horae stack down`.")


@_stack.command()
def status(
    data: Path | None = _Data,
    env: bool = typer.Option(False, "--env", help='Only the settings: eval "$(horae stack status --env)"'),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON, without passwords."),
) -> None:
    """Show the three servers; leaves with 1 when one of them does not run."""
    folder = _folder(data)
    state = StackState.read(folder)
    if as_json:
        show_json({name: _facts(server) for name, server in (state.servers if state else {}).items()})
    elif state is None:
        say(f"No stack runs on {folder}.")
    elif env:
        _print_settings(folder, state)
    else:
        _table(state)
    if state is None or not all(server.alive for server in state.servers.values()):
        raise typer.Exit(1)


@_stack.command()
def down(
    data: Path | None = _Data,
    within: float = typer.Option(60.0, "--within", help="Seconds that they may take to end."),
) -> None:
    """Stop the three servers, and nothing else; the data stays."""
    folder = _folder(data)
    ran = end(folder, within)
    say(f"Stopped {', '.join(ran)}." if ran else f"No stack runs on {folder}.")


@_stack.command()
def check() -> None:
    """Say whether this machine has what the stack needs (Java, and Maven for the first start)."""
    if lacks := missing():
        fail(lacks[0], "\n".join(lacks[1:]) or None)
    say("Java is there, and Kafka and Elasticsearch are fetched or can be.")


def _folder(data: Path | None) -> Path:
    return (load({"data": data}).settings.data / "stack").absolute()


def _started(folder: Path) -> StackState:
    """Start a keeper and follow it until all is ready. Raises `StackError` with the reason when it ends before."""
    keeper, log = detach(folder)
    with errors.status("Starting PostgreSQL, Kafka and Elasticsearch ...") as progress:
        pause = threading.Event()
        told = ""
        try:
            while keeper is not None and keeper.alive:
                state = StackState.read(folder)
                if state is not None and state.keeper == keeper:
                    if state.ready:
                        return state
                    told = _progress(state, told)
                    progress.update(told)
                pause.wait(_LOOK_AGAIN_S)
        except KeyboardInterrupt:
            end(folder, 60.0)
            raise
    raise StackError(log.read_text(encoding="utf-8", errors="replace").strip() or f"It ended at once; see {log}.")


def _progress(state: StackState, told: str) -> str:
    words = "; ".join(
        server.note or f"{name} {server.phase}" for name, server in state.servers.items() if server.phase != "failed"
    )
    if words != told and not errors.is_terminal:
        errors.print(words)
    return words


def _state(folder: Path) -> StackState:
    state = StackState.read(folder)
    assert state is not None
    return state


def _show(folder: Path, state: StackState) -> None:
    _table(state)
    say("\nTo use them (holds passwords):\n", "bold")
    _print_settings(folder, state)


def _print_settings(folder: Path, state: StackState) -> None:
    for name, value in settings_of(folder, state).items():
        print(f"export {name}={shlex.quote(value)}", flush=True)


def _table(state: StackState) -> None:
    rows = [
        (name, _phase(server), server.address or None, _pid(server.process), server.log or None)
        for name, server in state.servers.items()
    ]
    table(("server", "state", "address", "process", "log"), rows)
    if not state.keeper.alive:
        say(f"Its keeper (process {state.keeper.pid}) is gone, so nothing starts or stops these: horae stack down")


def _phase(server: ServerState) -> Text:
    if server.phase == "ready" and not server.alive:
        return Text("ended", style="red")
    return Text(server.phase, style={"ready": "green", "failed": "red"}.get(server.phase, "yellow"))


def _pid(process: ProcessIdentity | None) -> int | None:
    return None if process is None else process.pid


def _facts(server: ServerState) -> dict[str, Any]:
    return {
        "state": _phase(server).plain,
        "address": server.address,
        "pid": _pid(server.process),
        "log": server.log,
    }

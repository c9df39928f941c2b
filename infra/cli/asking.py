"""What commands that ask the API have in common: how to reach it, and whether to print its answer as it is.

Place in the flow: a command gives the API's answer and how to tell it to people; everything else is here, once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

from horae.infra.cli.client import ApiKey, AsJson, Data, Url, connect
from horae.infra.cli.output import show_json


class Told(NamedTuple):
    """The API's answer, printed as it is by --json, and what tells it to people."""

    answer: Any
    tell: Callable[[], None]


_OPTIONS: dict[str, tuple[Any, Any]] = {
    "url": (str | None, Url),
    "api_key": (str | None, ApiKey),
    "data": (Path | None, Data),
    "as_json": (bool, AsJson),
}


def asks(command: Callable[..., Told]) -> Callable[..., None]:
    """Make a Typer command of a function whose first parameter is the `Api`: the options for reaching it are added."""

    @wraps(command)
    def run(*, url: str | None, api_key: str | None, data: Any, as_json: bool, **given: Any) -> None:
        with connect(url, api_key, data) as api:
            told = command(api, **given)
        if as_json:
            show_json(told.answer)
        else:
            told.tell()

    own = inspect.signature(command, eval_str=True)
    parameters = list(own.parameters.values())[1:]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=of)
        for name, (of, default) in _OPTIONS.items()
    ]
    # Typer reads both: what the parameters are, and of what types.
    run.__signature__ = own.replace(parameters=parameters, return_annotation=None)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run

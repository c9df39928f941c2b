"""The API as commands use it: address and key found, problems raised as they were told.

Place in the flow: commands -> *here* -> HTTP. The address comes from --url, else HORAE_URL, else the data folder of an
installation on this machine, else the port's setting; the key from --api-key, else HORAE_API_KEY, else that folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import typer

from horae.infra.problems import Refused
from horae.infra.processes.installation import read_api_key, read_url
from horae.infra.setting_sources import SettingsError
from horae.infra.settings import load

Url = typer.Option(
    None, "--url", help="Address of the API; else where the data folder's service listens.", envvar="HORAE_URL"
)
ApiKey = typer.Option(None, "--api-key", help="API key; else HORAE_API_KEY, else the one in the data folder.")
Data = typer.Option(None, "--data", help="Data folder whose address and key are used.")
AsJson = typer.Option(False, "--json", help="Print the API's answer as JSON.")


class Api:
    """A small client: JSON in, JSON out, every problem raised as `Refused`."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, path: str, **params: Any) -> Any:
        """GET; parameters that are None are left out."""
        return _answer(self._client.get(path, params={k: v for k, v in params.items() if v is not None}))

    def post(self, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Any:
        """POST with a JSON body."""
        return _answer(self._client.post(path, json={} if body is None else body, headers=headers))

    def patch(
        self, path: str, body: Any, *, params: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> Any:
        """PATCH; parameters that are None are left out."""
        given = {name: value for name, value in (params or {}).items() if value is not None}
        return _answer(self._client.patch(path, json=body, params=given, headers=headers))

    def pages(self, path: str) -> Any:
        """GET every page of a list, as one answer."""
        whole = page = self.get(path, limit=500)
        while page["next"] is not None:
            page = self.get(path, limit=500, cursor=page["next"])
            whole["items"] += page["items"]
        return whole | {"next": None}

    def put(self, path: str, body: Any, *, params: dict[str, Any] | None = None) -> Any:
        """PUT with a JSON body; parameters that are None are left out."""
        given = {name: value for name, value in (params or {}).items() if value is not None}
        return _answer(self._client.put(path, json=body, params=given))

    def send(self, path: str, content: bytes, media_type: str) -> Any:
        """POST a file as it is."""
        return _answer(self._client.post(path, content=content, headers={"Content-Type": media_type}))

    def delete(self, path: str) -> Any:
        """DELETE."""
        return _answer(self._client.delete(path))


@contextmanager
def connect(url: str | None, api_key: str | None, data: Path | None) -> Iterator[Api]:
    """A client of the running service. Raises `SettingsError` when no key is to be found."""
    settings = load({"api_key": api_key, "data": data}).settings
    key = settings.api_key.get_secret_value() if settings.api_key else read_api_key(settings.data)
    if key is None:
        raise SettingsError(
            f"No API key: give --api-key, set HORAE_API_KEY, or point --data at the service's data folder "
            f"({settings.data.absolute()} has none)."
        )
    headers = {"Authorization": f"Bearer {key}"}
    base_url = url or read_url(settings.data) or f"http://localhost:{settings.port}"
    with httpx.Client(base_url=base_url, headers=headers, timeout=60) as client:
        yield Api(client)


def _answer(response: httpx.Response) -> Any:
    if response.is_success:
        return response.json() if response.content else None
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict) or "title" not in problem:
        raise Refused(f"The API answered {response.status_code}: {response.text[:300]}", None, {})
    text = str(problem.get("detail") or problem["title"])
    if problem.get("field"):
        text = f"{problem['field']}: {text}"
    raise Refused(text, problem.get("hint"), problem)

"""`horae keys`: issue, list, rotate and revoke API keys, and show the secret that webhooks are signed with."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import typer

from horae.domain.key import Scope
from horae.infra.cli.client import ApiKey, AsJson, Data, Url, connect
from horae.infra.cli.output import say, show_json, table
from horae.infra.processes.installation import Installation
from horae.infra.processes.preparation import DEFAULT_TENANT
from horae.infra.secrets import Refs, master_key
from horae.infra.settings import load

_keys = typer.Typer(help="API keys of your tenant (needs a key with the scope admin).", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(_keys, name="keys")


@_keys.command("list")
def list_keys(
    url: str | None = Url, api_key: str | None = ApiKey, data: Path | None = Data, as_json: bool = AsJson
) -> None:
    """List the keys; their texts are not stored and cannot be shown."""
    with connect(url, api_key, data) as api:
        page = api.get("/v1/keys")
    if as_json:
        show_json(page)
        return
    rows = [
        (item["id"], item.get("prefix"), item["label"], item["scope"], item.get("expires_at"), item.get("status"))
        for item in page["items"]
    ]
    table(("id", "begins with", "label", "scope", "expires", "status"), rows)


@_keys.command()
def issue(
    label: str = typer.Argument(help="Whose it is, or what for."),
    scope: str = typer.Option("write", "--scope", help="read, write or admin."),
    expires_at: str | None = typer.Option(None, "--expires-at", help="Instant from which it works no more."),
    url: str | None = Url,
    api_key: str | None = ApiKey,
    data: Path | None = Data,
    tenant: str | None = typer.Option(
        None, "--tenant", help="Of this tenant, new or not: for operators, who have the data folder or the DSN."
    ),
    as_json: bool = AsJson,
) -> None:
    """Make a key; its text is shown now and never again."""
    if tenant is not None:
        _show_new(_of_tenant(tenant, label, scope, expires_at, data), as_json)
        return
    body = {"label": label, "scope": scope} | ({"expires_at": expires_at} if expires_at else {})
    with connect(url, api_key, data) as api:
        _show_new(api.post("/v1/keys", body), as_json)


@_keys.command()
def rotate(
    key: str = typer.Argument(help="Id of the key to replace."),
    overlap: str | None = typer.Option(None, "--overlap", help="How long the old one works on, such as P1D."),
    url: str | None = Url,
    api_key: str | None = ApiKey,
    data: Path | None = Data,
    as_json: bool = AsJson,
) -> None:
    """Make a successor; the old key works on for the overlap, so that callers can change over."""
    with connect(url, api_key, data) as api:
        _show_new(api.post(f"/v1/keys/{key}/rotate", {"overlap": overlap} if overlap else {}), as_json)


@_keys.command()
def revoke(
    key: str = typer.Argument(help="Id of the key to end."),
    reason: str | None = typer.Option(None, "--reason", help="Kept in the history."),
    url: str | None = Url,
    api_key: str | None = ApiKey,
    data: Path | None = Data,
    as_json: bool = AsJson,
) -> None:
    """End a key now."""
    with connect(url, api_key, data) as api:
        answer = api.post(f"/v1/keys/{key}/revoke", {"reason": reason} if reason else {})
    if as_json:
        show_json(answer)
    else:
        say(f"{key} works no more.")


@_keys.command("signing-secret")
def signing_secret(
    tenant: str = typer.Option(DEFAULT_TENANT, "--tenant", help="Whose webhooks."),
    data: Path | None = typer.Option(None, "--data", help="Data folder that holds the master key."),
    as_json: bool = AsJson,
) -> None:
    """Show the secret (whsec_...) with which a receiver checks the signatures; derived here from the master key."""
    settings = load({"data": data}).settings
    configured = settings.encryption_key.get_secret_value() if settings.encryption_key else None
    folder = Installation(settings.data).folder
    existing = folder if (folder / "master-key").exists() else None
    secret = Refs(master_key(configured, existing)).signing_secret(tenant)
    if as_json:
        show_json({"tenant": tenant, "signing_secret": secret})
    else:
        print(secret)


def _of_tenant(tenant: str, label: str, scope: str, expires_at: str | None, data: Path | None) -> dict[str, object]:
    from horae.infra.processes.alone import issue_tenant_key

    try:
        until = None if expires_at is None else datetime.fromisoformat(expires_at)
        if until is not None and until.tzinfo is None:
            raise ValueError(f"{expires_at} has no offset; write 2027-01-01T00:00:00Z")
        wanted = Scope(scope)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    settings = load({"data": data}).settings
    return asyncio.run(issue_tenant_key(settings, tenant, label=label, scope=wanted, expires_at=until))


def _show_new(answer: dict[str, object], as_json: bool) -> None:
    if as_json:
        show_json(answer)
        return
    say(f"id   {answer['id']}")
    say(f"key  {answer['key']}")
    say("Keep it now: it is not stored and cannot be shown again.", "yellow")

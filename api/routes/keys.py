"""API keys of the caller's own tenant: issue, list, rotate, revoke; and the secret that webhooks are signed with."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from fastapi import APIRouter, Request, Response

from horae.api import openapi
from horae.api.auth import caller_of
from horae.api.bodies import query, read_model
from horae.api.models.admin import IssueKey, KeyList, KeyMade, KeyShown, Me, RotateKey, SigningSecret
from horae.api.models.schedules import Reasoned
from horae.api.reading import PageQuery, ReadQuery, read_models, services_of
from horae.api.rows import key_row_shown
from horae.api.views import call_of, respond
from horae.commands.keys import IssuedKey
from horae.domain.ids import shard_of
from horae.domain.key import Scope
from horae.projections import queries

router = APIRouter(tags=["keys"])

_DEFAULT_OVERLAP = timedelta(days=1)


@router.get("/v1/me", **openapi.operation("Who am I", answer=Me))
async def get_me(request: Request) -> Response:
    """The tenant, key and scope of the caller."""
    caller = caller_of(request, Scope.READ)
    shown = Me.model_construct(tenant=caller.tenant, key=caller.key, scope=caller.scope, expires_at=caller.expires_at)
    return respond(shown)


@router.get("/v1/keys", **openapi.operation("List keys", answer=KeyList, query=PageQuery, scope=Scope.ADMIN))
async def list_keys(request: Request) -> Response:
    """Revoked and expired ones too, newest first; texts are not stored."""
    caller = caller_of(request, Scope.ADMIN)
    asked = query(request, PageQuery)
    async with read_models(request, caller, asked.min_position) as conn:
        page = await queries.list_keys(conn, caller.tenant, cursor=asked.cursor, limit=asked.limit)
    now = services_of(request).real_clock.now()
    items = [key_row_shown(row, expired=row.expires_at is not None and row.expires_at <= now) for row in page.items]
    return respond(KeyList.model_construct(items=items, next=page.next))


@router.post(
    "/v1/keys",
    **openapi.operation(
        "Issue a key",
        body=IssueKey,
        answer=KeyMade,
        scope=Scope.ADMIN,
        status=201,
        idempotent=True,
        examples={"for a service": {"label": "billing", "scope": "write"}},
    ),
)
async def issue_key(request: Request) -> Response:
    """Its text is in this answer and nowhere else, ever. The key belongs to the caller's tenant."""
    caller = caller_of(request, Scope.ADMIN)
    body, plain = await read_model(request, IssueKey)
    issued = await services_of(request).keys.issue(
        call_of(request, caller, plain), label=body.label, scope=body.scope, expires_at=body.expires_at
    )
    return await _made(request, caller.tenant, issued)


@router.post(
    "/v1/keys/{key_id}/rotate",
    **openapi.operation(
        "Rotate a key", body=RotateKey, answer=KeyMade, scope=Scope.ADMIN, status=201, errors=(409,), idempotent=True
    ),
)
async def rotate_key(request: Request, key_id: UUID) -> Response:
    """Issue a successor; the old key works on for the overlap, so that callers can change over."""
    caller = caller_of(request, Scope.ADMIN)
    body, plain = await read_model(request, RotateKey)
    overlap = _DEFAULT_OVERLAP if body.overlap is None else body.overlap
    issued = await services_of(request).keys.rotate(call_of(request, caller, plain), key_id, overlap=overlap)
    request.app.state.authenticator.forget(key_id, revoked=False)
    return await _made(request, caller.tenant, issued, rotated_from=key_id)


async def _made(request: Request, tenant: str, issued: IssuedKey, rotated_from: UUID | None = None) -> Response:
    answer, services = issued.answer, services_of(request)
    # A key that is not known yet would be refused: its first use should not depend on how fast the read models are.
    shard = shard_of(tenant, str(answer.id))
    await services.progress.wait(answer.position, services.settings.settle_timeout_s, shard)
    shown = KeyMade.model_construct(
        id=answer.id,
        key=issued.text,
        prefix=issued.text[:10] if issued.text else None,
        label=answer.state.label,
        scope=answer.state.scope.value,
        status="active",
        created_at=answer.created_at,
        expires_at=answer.state.expires_at,
        rotated_from=rotated_from,
        position=answer.position,
        replayed=answer.replayed,
    )
    return respond(shown, 201)


@router.post(
    "/v1/keys/{key_id}/revoke",
    **openapi.operation("Revoke a key", body=Reasoned, answer=KeyShown, scope=Scope.ADMIN, idempotent=True),
)
async def revoke_key(request: Request, key_id: UUID) -> Response:
    """It works no more from this answer on (in other API processes a second later)."""
    caller = caller_of(request, Scope.ADMIN)
    body, plain = await read_model(request, Reasoned)
    services = services_of(request)
    answer = await services.keys.revoke(call_of(request, caller, plain), key_id, reason=body.reason)
    request.app.state.authenticator.forget(key_id, revoked=True)
    shown = KeyShown.model_construct(
        id=answer.id,
        label=answer.state.label,
        scope=answer.state.scope.value,
        status="revoked",
        created_at=answer.created_at,
        expires_at=answer.state.expires_at,
        revoked_at=answer.updated_at,
        successor=answer.state.successor,
    )
    return respond(shown)


@router.get(
    "/v1/signing-secret",
    **openapi.operation("The webhooks' signing secret", answer=SigningSecret, query=ReadQuery, scope=Scope.ADMIN),
)
async def get_signing_secret(request: Request) -> Response:
    """With it receivers check that a release came from here and was not changed on its way."""
    caller = caller_of(request, Scope.ADMIN)
    query(request, ReadQuery)
    secret = services_of(request).refs.signing_secret(caller.tenant)
    return respond(SigningSecret.model_construct(tenant=caller.tenant, secret=secret))

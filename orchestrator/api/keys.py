"""API keys, for admins: a key is shown once, when it is created."""

import re
from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Path, Query, Response
from pydantic import ConfigDict, Field, model_validator

from orchestrator.api.context import Parts, Session, admin_only
from orchestrator.api.fields import Name, ServerNameField
from orchestrator.api.schemas import DEFAULT_PAGE, Limit, Page, RequestBody, ResponseBody, problems
from orchestrator.db import api_keys
from orchestrator.db.models import ApiKey
from orchestrator.errors import NotFoundError
from orchestrator.states import Role

KEY_ID_PATTERN = "^[0-9a-f]{8}$"

router = APIRouter(
    prefix="/api/keys",
    tags=["keys"],
    dependencies=[admin_only],
    responses=problems({403: "The key is not an admin key"}),
)


class NewKey(RequestBody):
    """A key to create."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"properties": {"role": {"const": "admin"}, "serverName": {"type": "null"}}},
                {
                    "properties": {"role": {"enum": ["operator", "viewer"]}, "serverName": {"type": "string"}},
                    "required": ["serverName"],
                },
            ]
        }
    )

    name: Name = Field(description="What or whom the key is for.")
    role: Role = Field(
        strict=False,  # a string in JSON
        description="`admin`: full access. `operator`: full access to one server, except servers and keys. "
        "`viewer`: read-only access to one server.",
    )
    server_name: ServerNameField | None = Field(
        default=None, description="The server of an operator or viewer; omitted for an admin, who has access to all."
    )

    @model_validator(mode="after")
    def _server_fits_role(self) -> Self:
        if self.role is Role.ADMIN and self.server_name is not None:
            raise ValueError("an admin key has access to all servers: omit serverName")
        if self.role is not Role.ADMIN and self.server_name is None:
            raise ValueError(f"serverName is required for the role {self.role}")
        return self


class KeyView(ResponseBody):
    """A key, without the key itself."""

    id: str = Field(examples=["0f3a9c21"])
    name: str
    role: Role
    server_name: str | None
    created_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, row: ApiKey) -> Self:
        """The view of a database row."""
        return cls(
            id=row.id,
            name=row.name,
            role=Role(row.role),
            server_name=row.server_name,
            created_at=row.created_at,
            revoked_at=row.revoked_at,
        )


class CreatedKey(KeyView):
    """A new key, which is never shown again."""

    key: str = Field(default="", examples=["bd_0f3a9c21_…"])


@router.post("", status_code=201, summary="Create a key", responses=problems({404: "Server not found"}))
async def create(new: NewKey, session: Session) -> CreatedKey:
    """Store `key` of the response: it is shown only once, the server stores only its hash."""
    made = await api_keys.create(session, name=new.name, role=new.role, server_name=new.server_name)
    await session.commit()
    return CreatedKey.of(made.row).model_copy(update={"key": made.key})


@router.get("", summary="List keys")
async def list_keys(
    session: Session,
    limit: Limit = DEFAULT_PAGE,
    after: Annotated[
        str | None, Query(alias="next", pattern=KEY_ID_PATTERN, description="`next` of the previous page")
    ] = None,
) -> Page[KeyView]:
    """Ordered by id; includes revoked keys."""
    rows = await api_keys.page(session, limit=limit + 1, after=after)
    return Page(items=[KeyView.of(row) for row in rows[:limit]], next=rows[limit - 1].id if len(rows) > limit else None)


@router.delete(
    "/{id}",
    status_code=204,
    summary="Revoke a key",
    responses=problems({404: "Key not found", 409: "It is the last admin key"}),
)
async def revoke(key_id: Annotated[str, Path(alias="id")], session: Session, parts: Parts) -> Response:
    """The key stops working at once in this process, and within 30 seconds in all others."""
    if re.fullmatch(KEY_ID_PATTERN, key_id) is None:
        raise NotFoundError(f"API key {key_id!r} not found")
    await api_keys.revoke(session, key_id)
    await session.commit()
    parts.keys.forget(key_id)
    return Response(status_code=204)

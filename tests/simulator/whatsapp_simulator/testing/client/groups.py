"""Groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from whatsapp_simulator.control.models import Group
from whatsapp_simulator.control.models import Groups as GroupList
from whatsapp_simulator.testing.client.base import BaseClient


class GroupsClient(BaseClient):
    """Requests for groups. by: who makes the change; None: the creator."""

    async def create_group(
        self, creator: str, subject: str, members: Sequence[str] = (), *, description: str = ""
    ) -> Group:
        """Create a group."""
        body = {"creator": creator, "subject": subject, "members": list(members), "description": description}
        return Group.model_validate(await self._call("POST", "/groups", body))

    async def groups(self) -> list[Group]:
        """All groups."""
        return GroupList.model_validate(await self._call("GET", "/groups")).items

    async def group(self, group_id: str) -> Group:
        """A group."""
        return Group.model_validate(await self._call("GET", f"/groups/{group_id}"))

    async def change_group(self, group_id: str, **changes: Any) -> Group:
        """Change `subject`, `description`, `announce`, `locked` or `ephemeralSeconds`; `by`: who makes the change."""
        return Group.model_validate(await self._call("PATCH", f"/groups/{group_id}", changes))

    async def add_members(self, group_id: str, phones: Sequence[str], *, by: str | None = None) -> Group:
        """Add members."""
        body = {"phones": list(phones), "by": by}
        return Group.model_validate(await self._call("POST", f"/groups/{group_id}/members", body))

    async def remove_member(self, group_id: str, phone: str, *, by: str | None = None) -> Group:
        """Remove a member; with `by` set to the member's own number, the member leaves."""
        query: dict[str, Any] = {} if by is None else {"by": by}
        response = await self._send("DELETE", f"/groups/{group_id}/members/{phone}", **query)
        return Group.model_validate(response.json())

    async def set_admin(self, group_id: str, phone: str, *, admin: bool = True, by: str | None = None) -> Group:
        """Make a member an admin, or an admin a member."""
        body = {"admin": admin, "by": by}
        return Group.model_validate(await self._call("PUT", f"/groups/{group_id}/members/{phone}", body))

    async def wait_for_group(self, subject: str, *, timeout_seconds: float = 10) -> Group:
        """Wait until there is a group with this subject."""

        async def read() -> Group | None:
            return next((group for group in await self.groups() if group.subject == subject), None)

        return await self._until(read, f"there is no group {subject!r}", timeout_seconds=timeout_seconds)

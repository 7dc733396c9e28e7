"""Groups, created and changed by contacts and accounts."""

from __future__ import annotations

from fastapi import APIRouter

from whatsapp_simulator.control import models, views
from whatsapp_simulator.control.errors import ApiError, problems
from whatsapp_simulator.control.lookup import Lookup
from whatsapp_simulator.phones.groups import Change, Groups, Setting
from whatsapp_simulator.simulator import Simulator
from whatsapp_simulator.world.groups import Group
from whatsapp_simulator.world.model import Person


def router(simulator: Simulator) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["groups"], responses=problems(403, 404, 406, 409, 422))
    network = simulator.network
    find, groups = Lookup(network), Groups(network)

    def actor(group: Group, by: str | None) -> Person:
        return find.person(by or group.creator)

    def change_members(group_id: str, by: str | None, change: Change, people: list[Person]) -> models.Group:
        group = find.group(group_id)
        if not groups.change_members(group, actor(group, by), change, people):
            raise ApiError(409, "nothing-to-do", f"there is no member to {change} in {group_id}")
        return views.group(group)

    @routes.post("/groups")
    async def create_group(body: models.NewGroup) -> models.Group:
        """Create a group and notify the bots among its members."""
        creator, members = find.person(body.creator), find.people(body.members)
        return views.group(groups.create(creator, body.subject, members, body.description, body.crowd))

    @routes.get("/groups")
    async def list_groups() -> models.Groups:
        """List all groups."""
        return models.Groups(items=[views.group(group) for group in network.world.groups])

    @routes.get("/groups/{group_id}")
    async def get_group(group_id: str) -> models.Group:
        """Get one group."""
        return views.group(find.group(group_id))

    @routes.patch("/groups/{group_id}")
    async def change_group(group_id: str, body: models.GroupChange) -> models.Group:
        """Change the subject, the description or the settings of a group."""
        group = find.group(group_id)
        person = actor(group, body.by)
        if body.subject is not None:
            groups.rename(group, person, body.subject)
        if body.description is not None:
            groups.describe(group, person, body.description)
        if body.announce is not None:
            groups.switch(group, person, Setting.ANNOUNCEMENT if body.announce else Setting.NOT_ANNOUNCEMENT)
        if body.locked is not None:
            groups.switch(group, person, Setting.LOCKED if body.locked else Setting.UNLOCKED)
        if body.ephemeral_seconds is not None:
            groups.expire(group, person, body.ephemeral_seconds)
        return views.group(group)

    @routes.post("/groups/{group_id}/members")
    async def add_members(group_id: str, body: models.NewMembers) -> models.Group:
        """Add members."""
        return change_members(group_id, body.by, Change.ADD, find.people(body.phones))

    @routes.put("/groups/{group_id}/members/{phone}")
    async def set_role(group_id: str, phone: str, body: models.NewRole) -> models.Group:
        """Make a member an admin, or an admin a member."""
        change = Change.PROMOTE if body.admin else Change.DEMOTE
        return change_members(group_id, body.by, change, [find.person(phone)])

    @routes.delete("/groups/{group_id}/members/{phone}")
    async def remove_member(group_id: str, phone: str, by: str | None = None) -> models.Group:
        """Remove a member. With `by` set to the member's own number, the member leaves."""
        group, person = find.group(group_id), find.person(phone)
        if by is None or actor(group, by) is not person:
            return change_members(group_id, by, Change.REMOVE, [person])
        groups.leave(group, person)
        return views.group(group)

    return routes

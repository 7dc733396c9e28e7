"""Groups: clients list, query, create and change them."""

from __future__ import annotations

from whatsapp_simulator.phones.groups import Change, Groups, Setting, to_node
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.protocol.jid import parse
from whatsapp_simulator.stanzas.registry import Context, IqError, on_iq
from whatsapp_simulator.world.groups import Group, GroupError
from whatsapp_simulator.world.model import Person

_CHANGES = {change.value: change for change in Change}
_SETTINGS = {setting.value: setting for setting in Setting}


@on_iq("w:g2", "get")
def query(context: Context) -> list[Node]:
    """Return the client's groups (`participating`), one group (`query`), or a property of one."""
    world, node = context.network.world, context.node
    person, _ = context.owner
    if node.child("participating") is not None:
        return [Node("groups", {}, [to_node(world, group) for group in world.groups.of(person.phone)])]
    invite = node.child("invite")
    if invite is not None and invite.get("code"):
        return [to_node(world, _invited(context, invite.get("code")))]
    group = _group(context)
    if invite is not None:
        return [Node("invite", {"code": group.invite})]
    if node.child("query") is not None:
        return [to_node(world, group)]
    if (requests := node.child("membership_approval_requests")) is not None:
        return [Node(requests.tag, {}, [])]
    raise IqError(501, "feature-not-implemented")


@on_iq("w:g2", "set")
def change(context: Context) -> list[Node]:
    """Create or change a group."""
    children = context.node.children
    if not children:
        raise IqError(400, "bad-request")
    try:
        return _change(context, children[0])
    except GroupError as exc:
        raise IqError(exc.status, exc.code) from exc


def _change(context: Context, request: Node) -> list[Node]:
    groups, world = Groups(context.network), context.network.world
    person, _ = context.owner
    if request.tag == "create":
        group = groups.create(person, request.get("subject"), _people(context, request))
        return [to_node(world, group)]
    if request.tag == "leave":
        for left in request.walk("group"):
            address = left.jid("id") or parse(left.get("id"))
            if (found := world.groups.find(address)) is not None:
                groups.leave(found, person)
        return [request]
    if request.tag == "invite" and request.get("code"):
        group = _invited(context, request.get("code"))
        groups.join(group, person)
        return [Node("group", {"jid": group.jid})]
    group = _group(context)
    if request.tag in _CHANGES:
        return [_change_members(context, group, person, request)]
    if request.tag in _SETTINGS:
        groups.switch(group, person, _SETTINGS[request.tag])
        return []
    match request.tag:
        case "subject":
            groups.rename(group, person, request.data.decode(errors="replace"))
        case "description":
            text = "" if request.get("delete") else request.child_data("body").decode(errors="replace")
            groups.describe(group, person, text, request.get("id"))
        case "ephemeral" | "not_ephemeral":
            groups.expire(group, person, int(request.get("expiration") or 0))
        case "invite":
            groups.reset_invite(group, person)
            return [Node("invite", {"code": group.invite})]
        case "membership_approval_mode" | "member_add_mode":
            group.require_admin(person.phone)
        case _:
            raise IqError(501, "feature-not-implemented")
    return []


def _change_members(context: Context, group: Group, actor: Person, request: Node) -> Node:
    people = _people(context, request)
    changed = Groups(context.network).change_members(group, actor, _CHANGES[request.tag], people)
    answers = []
    for person in people:
        attrs: Attrs = {"jid": person.lid_jid(), "phone_number": person.phone_jid()}
        refused: Attrs = {} if person in changed else {"error": "409" if request.tag == Change.ADD else "404"}
        answers.append(Node("participant", attrs | refused))
    return Node(request.tag, {}, answers)


def _people(context: Context, request: Node) -> list[Person]:
    world = context.network.world
    found = (world.find(item.jid("jid")) for item in request.walk("participant"))
    return [person for person in found if person]


def _group(context: Context) -> Group:
    group = context.network.world.groups.find(context.node.jid("to"))
    if group is None:
        raise IqError(404, "item-not-found")
    if context.owner[0].phone not in group.members:
        raise IqError(403, "forbidden")
    return group


def _invited(context: Context, code: str) -> Group:
    group = context.network.world.groups.by_invite(code)
    if group is None:
        raise IqError(406, "not-acceptable")
    return group

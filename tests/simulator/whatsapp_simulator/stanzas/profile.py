"""Profiles: profile picture, "about" text, privacy settings and block list."""

from __future__ import annotations

from whatsapp_simulator.phones import profiles
from whatsapp_simulator.protocol.binary import Node
from whatsapp_simulator.protocol.jid import GROUP
from whatsapp_simulator.stanzas.registry import Context, IqError, on_iq
from whatsapp_simulator.world.model import Person

_PRIVACY = ("groupadd", "last", "status", "profile", "readreceipts", "online", "calladd")


@on_iq("w:profile:picture", "get")
def picture(context: Context) -> list[Node]:
    """Return the location of a person's profile picture."""
    target = context.node.jid("target")
    person = context.network.world.find(target) if target else context.owner[0]
    if person is None or not person.profile.picture:
        raise IqError(404, "item-not-found")
    request = context.node.child("picture")
    if request is not None and request.get("id") == person.profile.picture_id:
        return []
    where = profiles.picture_location(context.network, person)
    kind = (request.get("type") if request else "") or "image"
    attrs = {"id": person.profile.picture_id, "type": kind, "url": where["url"], "direct_path": where["direct_path"]}
    return [Node("picture", attrs)]


@on_iq("w:profile:picture", "set")
def set_picture(context: Context) -> list[Node]:
    """Set or remove the client's profile picture. A profile picture for a group is accepted, but not stored."""
    world = context.network.world
    target, new = context.node.jid("target"), context.node.child("picture")
    picture_id = str(int.from_bytes(world.random(4), "big"))
    if target is None or target.server != GROUP:
        picture_id = profiles.set_picture(context.network, context.owner[0], new.data if new else b"")
    return [Node("picture", {"id": picture_id})] if new else []


@on_iq("status", "set")
def about(context: Context) -> list[Node]:
    """Set the client's "about" text."""
    set_about(context, context.node.child_data("status").decode(errors="replace"))
    return []


@on_iq("status", "get")
def status_privacy(_: Context) -> list[Node]:
    """Return the status privacy: statuses go to all contacts."""
    return [Node("privacy", {}, [Node("list", {"type": "contacts", "default": "true"})])]


@on_iq("w:biz", "get")
def business_profile(_: Context) -> list[Node]:
    """Report that there is no business profile."""
    raise IqError(404, "item-not-found")


@on_iq("privacy", "get")
def privacy_settings(context: Context) -> list[Node]:
    """Return the privacy settings: visible to all, except for settings that the client changed."""
    return [_settings(context.owner[0])]


@on_iq("privacy", "set")
def change_privacy(context: Context) -> list[Node]:
    """Change a privacy setting. Clients also send tokens for contacts here; the simulator ignores them."""
    changed = context.node.child("privacy")
    if changed is None:
        return []
    person, _ = context.owner
    person.profile.privacy |= {item.get("name"): item.get("value") for item in changed.walk("category")}
    context.network.world.touch(person)
    return [_settings(person)]


@on_iq("blocklist", "get")
def block_list(context: Context) -> list[Node]:
    """Return the block list of the client."""
    return [_blocked(context, context.owner[0])]


@on_iq("blocklist", "set")
def block(context: Context) -> list[Node]:
    """Block or unblock a person; this is stored, but has no effect on messages."""
    person, _ = context.owner
    item = context.node.child("item")
    other = context.network.world.find(item.jid("jid")) if item else None
    if item is None or other is None:
        raise IqError(404, "item-not-found")
    others = [phone for phone in person.profile.blocked if phone != other.phone]
    person.profile.blocked = [*others, other.phone] if item.get("action") == "block" else others
    context.network.world.touch(person)
    return [_blocked(context, person)]


@on_iq("disappearing_mode", "set")
def disappearing_mode(_: Context) -> list[Node]:
    """Accept the default timer for disappearing messages; messages never disappear here."""
    return []


def set_about(context: Context, text: str) -> None:
    """Change the client's "about" text."""
    person, _ = context.owner
    person.profile.about = text
    context.network.world.touch(person)


def _settings(person: Person) -> Node:
    values = {name: person.profile.privacy.get(name, "all") for name in _PRIVACY}
    return Node("privacy", {}, [Node("category", {"name": name, "value": value}) for name, value in values.items()])


def _blocked(context: Context, person: Person) -> Node:
    people = filter(None, map(context.network.world.get, person.profile.blocked))
    items = [Node("item", {"jid": other.lid_jid()}) for other in people]
    return Node("list", {"dhash": str(len(items))}, items)

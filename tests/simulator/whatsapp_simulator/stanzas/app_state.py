"""The app state: clients fetch the new patches of a collection and append their own."""

from __future__ import annotations

from whatsapp_simulator.phones import app_state
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.stanzas.registry import Context, IqError, on_iq


@on_iq("w:sync:app:state", "set")
def sync(context: Context) -> list[Node]:
    """Apply the patch of each `collection` that has one; for the others, return the patches after the given version."""
    request = context.node.child("sync")
    if request is None:
        raise IqError(400, "bad-request")
    return [Node("sync", {}, [_collection(context, collection) for collection in request.walk("collection")])]


def _collection(context: Context, collection: Node) -> Node:
    person, _ = context.owner
    name, version = collection.get("name"), int(collection.get("version") or 0)
    patch = collection.child("patch")
    attrs: Attrs = {"name": name}
    if patch is not None and app_state.push(context.network, person, name, version, patch.data):
        _notify_others(context, name, version + 1)
        return Node("collection", attrs | {"version": str(version + 1)})
    news = [Node("patch", {}, data) for data in app_state.patches_after(person, name, version)]
    content = [Node("patches", {}, news)] if news else []
    if patch is not None:
        conflict = Node("error", {"code": "409", "text": "conflict"})
        return Node("collection", attrs | {"type": "error"}, [conflict, *content])
    return Node("collection", attrs | {"version": str(version + len(news))}, content)


def _notify_others(context: Context, name: str, version: int) -> None:
    person, device = context.owner
    changed = Node("collection", {"name": name, "version": str(version)})
    for other in person.devices.values():
        if other is not device:
            context.network.notify(person, other, "server_sync", person.phone_jid(), [changed])

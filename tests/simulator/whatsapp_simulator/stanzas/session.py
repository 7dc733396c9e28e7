"""The life of a session: keep-alive, becoming active, and the settings a client asks for first."""

from __future__ import annotations

import asyncio

from whatsapp_simulator.protocol.binary import Node
from whatsapp_simulator.stanzas.registry import Context, IqError, on, on_iq


@on_iq("w:p", "get")
def keep_alive(_: Context) -> list[Node]:
    """Every 20 to 30 seconds."""
    return []


@on_iq("passive", "set")
def passive(context: Context) -> list[Node]:
    """`active`: the client wants its stanzas; they follow the answer."""
    if context.node.child("active") is not None:
        asyncio.get_running_loop().call_soon(context.network.activate, context.link)
    else:
        context.link.active = False
    return []


@on_iq("privacy", "get")
def privacy_settings(_: Context) -> list[Node]:
    """Everything is open to everybody."""
    names = ("groupadd", "last", "status", "profile", "readreceipts", "online", "calladd")
    return [Node("privacy", {}, [Node("category", {"name": name, "value": "all"}) for name in names])]


@on_iq("privacy", "set")
def privacy_tokens(_: Context) -> list[Node]:
    """The client hands a token for a contact; nothing here ever asks for it."""
    return []


@on_iq("w:m", "set")
def media_hosts(_: Context) -> list[Node]:
    """There is no media store."""
    raise IqError(503, "service-unavailable")


@on("ib")
def client_information(_: Context) -> None:
    """What the client tells of itself."""

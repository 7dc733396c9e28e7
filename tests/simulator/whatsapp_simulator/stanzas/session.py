"""The life of a session: keep-alive, becoming active, and what a client asks for or tells of itself."""

from __future__ import annotations

import asyncio

from whatsapp_simulator.phones import app_state
from whatsapp_simulator.protocol.binary import Node
from whatsapp_simulator.stanzas.registry import Context, on, on_iq

_MEDIA_SECONDS = 3600


@on_iq("w:p", "get")
def keep_alive(_: Context) -> list[Node]:
    """Every 20 to 30 seconds."""
    return []


@on_iq("passive", "set")
def passive(context: Context) -> list[Node]:
    """`active`: the client wants its stanzas; they follow the answer."""
    if context.node.child("active") is not None:
        asyncio.get_running_loop().call_soon(_activate, context)
    else:
        context.link.active = False
    return []


@on_iq("w:m", "set")
def media_hosts(context: Context) -> list[Node]:
    """Where files go, and the word that lets the client put them there."""
    attrs = {
        "auth": context.network.media_auth,
        "ttl": str(_MEDIA_SECONDS),
        "auth_ttl": str(_MEDIA_SECONDS),
        "max_buckets": "12",
    }
    return [Node("media_conn", attrs, [Node("host", {"hostname": context.network.media_host})])]


@on("ib")
def client_information(_: Context) -> None:
    """What the client tells of itself."""


def _activate(context: Context) -> None:
    context.network.activate(context.link)
    if context.link.active:
        app_state.welcome(context.network, *context.owner)

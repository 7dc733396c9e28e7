"""Sessions: keep-alive, activation, media hosts and client information."""

from __future__ import annotations

import asyncio

from whatsapp_simulator.phones import app_state
from whatsapp_simulator.protocol.binary import Node
from whatsapp_simulator.stanzas.registry import Context, on, on_iq

_MEDIA_SECONDS = 3600


@on_iq("w:p", "get")
def keep_alive(_: Context) -> list[Node]:
    """Respond to a keep-alive, which clients send every 20 to 30 seconds."""
    return []


@on_iq("passive", "set")
def passive(context: Context) -> list[Node]:
    """`active`: the client requests its pending stanzas; they follow the response."""
    if context.node.child("active") is not None:
        asyncio.get_running_loop().call_soon(_activate, context)
    else:
        context.link.active = False
    return []


@on_iq("w:m", "set")
def media_hosts(context: Context) -> list[Node]:
    """Return the media host, and the token that authorizes uploads."""
    attrs = {
        "auth": context.network.media_auth,
        "ttl": str(_MEDIA_SECONDS),
        "auth_ttl": str(_MEDIA_SECONDS),
        "max_buckets": "12",
    }
    return [Node("media_conn", attrs, [Node("host", {"hostname": context.network.media_host})])]


@on("ib")
def client_information(_: Context) -> None:
    """Ignore what the client reports about itself."""


def _activate(context: Context) -> None:
    context.network.activate(context.link)
    if context.link.active:
        app_state.share_key_once(context.network, *context.owner)

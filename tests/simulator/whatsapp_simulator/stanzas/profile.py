"""Profiles: nobody has a picture or a business profile."""

from __future__ import annotations

from whatsapp_simulator.protocol.binary import Node
from whatsapp_simulator.stanzas.registry import Context, IqError, on_iq


@on_iq("w:profile:picture", "get")
def picture(_: Context) -> list[Node]:
    """No picture is set."""
    raise IqError(404, "item-not-found")


@on_iq("w:biz", "get")
def business_profile(_: Context) -> list[Node]:
    """Nobody is a business."""
    raise IqError(404, "item-not-found")


@on_iq("blocklist", "get")
def block_list(_: Context) -> list[Node]:
    """Nobody is blocked."""
    return [Node("list", {"dhash": "0"}, [])]

"""GraphQL inside an iq: queries are identified by number; variables and results are JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from whatsapp_simulator.phones import channels
from whatsapp_simulator.protocol.binary import Node
from whatsapp_simulator.protocol.jid import parse
from whatsapp_simulator.stanzas import profile
from whatsapp_simulator.stanzas.registry import Context, IqError, on_iq
from whatsapp_simulator.world.channels import Channel

Query = Callable[[Context, dict[str, Any]], dict[str, Any]]


@on_iq("w:mex", "get")
def mex(context: Context) -> list[Node]:
    """Run the query with this number."""
    request = context.node.child("query")
    query = _QUERIES.get(request.get("query_id")) if request else None
    if request is None or query is None:
        raise IqError(501, "feature-not-implemented")
    try:
        variables = json.loads(request.data)["variables"]
        answer: dict[str, Any] = {"data": query(context, variables)}
    except (ValueError, KeyError, TypeError) as exc:
        raise IqError(400, "bad-request") from exc
    except _NotFoundError:
        extensions = {"error_code": 404, "is_retryable": False, "severity": "CRITICAL"}
        answer = {"data": None, "errors": [{"message": "Not Found", "path": [], "extensions": extensions}]}
    return [Node("result", {}, json.dumps(answer).encode())]


class _NotFoundError(Exception):
    """The channel does not exist."""


def _one(context: Context, variables: dict[str, Any]) -> dict[str, Any]:
    request = variables["input"]
    world = context.network.world
    if request["type"] == "INVITE":
        channel = world.channels.by_invite(request["key"])
    else:
        channel = world.channels.find(parse(request["key"]))
    if channel is None:
        raise _NotFoundError
    return {"xwa2_newsletter": channels.to_json(channel, context.owner[0].phone)}


def _subscribed(context: Context, _: dict[str, Any]) -> dict[str, Any]:
    phone = context.owner[0].phone
    found = context.network.world.channels.followed_by(phone)
    return {"xwa2_newsletter_subscribed": [channels.to_json(channel, phone) for channel in found]}


def _create(context: Context, variables: dict[str, Any]) -> dict[str, Any]:
    newsletter, phone = variables["newsletter_input"], context.owner[0].phone
    channel = channels.create(context.network, newsletter["name"], newsletter.get("description", ""), phone)
    return {"xwa2_newsletter_create": channels.to_json(channel, phone)}


def _follow(context: Context, variables: dict[str, Any]) -> dict[str, Any]:
    channel = _named(context, variables)
    channels.follow(context.network, channel, context.owner[0].phone, following=True)
    return {"xwa2_newsletter_join_v2": {"id": str(channel.jid)}}


def _unfollow(context: Context, variables: dict[str, Any]) -> dict[str, Any]:
    channel = _named(context, variables)
    channels.follow(context.network, channel, context.owner[0].phone, following=False)
    return {"xwa2_newsletter_leave_v2": {"id": str(channel.jid)}}


def _mute(context: Context, variables: dict[str, Any]) -> dict[str, Any]:
    channel, phone = _named(context, variables), context.owner[0].phone
    channel.muted = [*(other for other in channel.muted if other != phone), phone]
    context.network.world.channels.touch(channel)
    return {"xwa2_newsletter_update": channels.to_json(channel, phone)}


def _unmute(context: Context, variables: dict[str, Any]) -> dict[str, Any]:
    channel, phone = _named(context, variables), context.owner[0].phone
    channel.muted = [other for other in channel.muted if other != phone]
    context.network.world.channels.touch(channel)
    return {"xwa2_newsletter_update": channels.to_json(channel, phone)}


def _about(context: Context, variables: dict[str, Any]) -> dict[str, Any]:
    profile.set_about(context, variables["input"].get("text") or "")
    return {"xwa2_update_text_status": {"result": "SUCCESS"}}


def _named(context: Context, variables: dict[str, Any]) -> Channel:
    channel = context.network.world.channels.find(parse(variables["newsletter_id"]))
    if channel is None:
        raise _NotFoundError
    return channel


_QUERIES: dict[str, Query] = {
    "6563316087068696": _one,
    "6388546374527196": _subscribed,
    "6234210096708695": _create,
    "9926858900719341": _follow,
    "6392786840836363": _unfollow,
    "6274038279359549": _mute,
    "6068417879924485": _unmute,
    "9152604461510864": _about,
}

"""The data of the events that others cause, as the contract describes it."""

from typing import Any

from bot_runtime.whatsapp.messages import Ack, Call, Incoming, Presence


def message_data(message: Incoming, **more: Any) -> dict[str, Any]:
    """`message-upsert`; `more` goes into the message."""
    record = {
        "id": message.id,
        "chat": str(message.chat),
        "sender": str(message.sender),
        "senderNumber": message.sender_number,
        "fromMe": message.from_me,
        "isGroup": message.is_group,
        "kind": message.kind,
        "text": message.text,
        "timestamp": message.timestamp,
        "pushName": message.push_name,
        **message.content.details,
        **more,
    }
    return {"messages": [record], "type": "notify"}


def ack_data(ack: Ack) -> dict[str, Any]:
    """`message-ack`."""
    return {"messageIds": list(ack.message_ids), "chat": str(ack.chat), "by": str(ack.by), "state": ack.state}


def presence_data(presence: Presence) -> dict[str, Any]:
    """`presence-update`."""
    data: dict[str, Any] = {"id": str(presence.who), "presence": presence.presence}
    if presence.chat is not None:
        data["chat"] = str(presence.chat)
    if presence.last_seen is not None:
        data["lastSeen"] = presence.last_seen
    return data


def call_data(call: Call) -> dict[str, Any]:
    """`call`."""
    return {"id": call.id, "from": str(call.caller), "status": call.status}

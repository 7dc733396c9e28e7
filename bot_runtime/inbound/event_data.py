"""The data of events that others cause, see `docs/commands.md`. Pure."""

from typing import Any

from bot_runtime.whatsapp.messages import Call, Incoming, Presence, ReceiptUpdate


def message_data(message: Incoming, **more: Any) -> dict[str, Any]:
    """`message-upsert`; `more` is added to the message."""
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


def receipt_data(receipt: ReceiptUpdate) -> dict[str, Any]:
    """`message-ack`."""
    return {
        "messageIds": list(receipt.message_ids),
        "chat": str(receipt.chat),
        "by": str(receipt.by),
        "state": receipt.state,
    }


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

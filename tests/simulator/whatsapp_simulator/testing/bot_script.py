"""Run by `BotProcess`: a neonize client that writes its events as JSON lines and reads commands in the same format.

Commands: `{"send": text, "to": address}`, `{"pairCode": phone}`, `{"logout": true}`, and `{"call": method, "args": […],
"kwargs": {…}}`, which calls any method of the client and reports the result. Arguments that JSON cannot represent are
objects with one key: `jid` (text), `bytes` (base64), `enum` ("Presence.AVAILABLE"), `e2e` (a message as JSON), `event`,
`content` and `info` (of an earlier message, by id), `last` (the result of the previous call).
"""

from __future__ import annotations

import base64
import ctypes
import hashlib
import json
import operator
import os
import sys
import threading
import time
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.message import Message as Protobuf  # type: ignore[import-untyped, unused-ignore]
from neonize import _binder, events
from neonize.client import NewClient
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message
from neonize.utils import enum
from neonize.utils.jid import build_jid
from neonize.utils.message import extract_text

_PLAIN = {
    events.ConnectedEv: "connected",
    events.DisconnectedEv: "disconnected",
    events.StreamReplacedEv: "stream-replaced",
    events.TemporaryBanEv: "temporary-ban",
    events.ClientOutdatedEv: "client-outdated",
    events.KeepAliveTimeoutEv: "keep-alive-timeout",
    events.KeepAliveRestoredEv: "keep-alive-restored",
    events.OfflineSyncPreviewEv: "offline-sync-preview",
    events.OfflineSyncCompletedEv: "offline-sync-completed",
    events.UndecryptableMessageEv: "undecryptable-message",
    events.ConnectFailureEv: "connect-failure",
    events.StreamErrorEv: "stream-error",
}
#: Events that are reported with their complete content as `data`.
_WITH_DATA = {
    events.PresenceEv: "presence",
    events.ChatPresenceEv: "chat-presence",
    events.GroupInfoEv: "group-info",
    events.JoinedGroupEv: "joined-group",
    events.CallOfferEv: "call-offer",
    events.CallTerminateEv: "call-terminate",
    events.PictureEv: "profile-photo",
}
#: neonize reports a group message that also distributes a sender key twice, first with only these fields.
_KEYS_ONLY = {"senderKeyDistributionMessage", "messageContextInfo"}
_RECEIPTS = {1: "delivered", 4: "read", 6: "played"}
_print_lock = threading.Lock()
#: Standard output is reserved for events; the library's own output is redirected to standard error (see `main`).
_events_out = os.fdopen(os.dup(1), "w")
# neonize does not convert the result of this function to bytes.
_binder.gocode.DecryptPollVote.errcheck = _binder.consume_bytes_struct


def emit(event: str, **fields: Any) -> None:
    """Write one event."""
    with _print_lock:
        _events_out.write(json.dumps({"event": event, "time": time.time(), **fields}) + "\n")
        _events_out.flush()


class Client(NewClient):  # type: ignore[misc]
    """A client that also reports the login status, which neonize only prints."""

    def _NewClient__onLoginStatus(self, _: int, status: int) -> None:  # noqa: N802
        emit("login-status", status=ctypes.string_at(status).decode())


def main() -> None:
    """Connect and run until the connection ends for good."""
    os.dup2(2, 1)
    session, options = sys.argv[1], sys.argv[2:]
    client = Client(session, uuid=session)
    handlers = [_watch(client, kind, name) for kind, name in _PLAIN.items()]
    handlers += [_watch(client, kind, name, with_data=True) for kind, name in _WITH_DATA.items()]
    calls = MethodCalls(client)

    def qr(_: NewClient, data: bytes) -> None:
        emit("qr", qr=data.decode())

    def paired(_: NewClient, event: Any) -> None:
        emit("paired", phone=event.ID.User)

    def logged_out(_: NewClient, event: Any) -> None:
        emit("logged-out", onConnect=event.OnConnect)

    def receipt(_: NewClient, event: Any) -> None:
        kind, source = _RECEIPTS.get(event.Type, str(event.Type)), event.MessageSource
        chat = f"{source.Chat.User}@{source.Chat.Server}"
        emit("receipt", ids=list(event.MessageIDs), kind=kind, sender=source.Sender.User, chat=chat)

    def message(_: NewClient, event: Any) -> None:
        text, source, info = extract_text(event.Message), event.Info.MessageSource, event.Info
        calls.messages[info.ID] = event
        if info.Category == "peer":
            emit("peer-message", id=info.ID)
            return
        if {field.name for field, _ in event.Message.ListFields()} <= _KEYS_ONLY:
            emit("sender-key", id=info.ID)
            return
        emit(
            "message",
            text=text,
            id=info.ID,
            name=info.Pushname,
            sender=f"{source.Sender.User}@{source.Sender.Server}",
            alt=f"{source.SenderAlt.User}@{source.SenderAlt.Server}",
            chat=f"{source.Chat.User}@{source.Chat.Server}",
            fromMe=source.IsFromMe,
            isGroup=source.IsGroup,
            type=info.Type,
            edit=info.Edit,
            serverId=info.ServerID,
            viewOnce=event.IsViewOnce,
            isEdit=event.IsEdit,
            content=MessageToDict(event.Message),
        )
        if "echo" in options and text and not source.IsFromMe:
            threading.Thread(target=_send, args=(client, source.Chat, f"pong {text}"), daemon=True).start()

    client.qr(qr)
    client.event(events.PairStatusEv)(paired)
    client.event(events.LoggedOutEv)(logged_out)
    client.event(events.ReceiptEv)(receipt)
    client.event(events.MessageEv)(message)
    threading.Thread(target=_commands, args=(client, calls), daemon=True).start()
    emit("started")
    client.connect()
    del handlers
    emit("ended")


class MethodCalls:
    """Calls methods of the client. messages: id → event."""

    def __init__(self, client: NewClient) -> None:
        self.messages: dict[str, Any] = {}
        self._client = client
        self._last: Any = None

    def run(self, method: str, arguments: list[Any], named: dict[str, Any]) -> None:
        """Call a method and report its result or error."""
        try:
            values = {name: self._value(item) for name, item in named.items()}
            self._last = operator.attrgetter(method)(self._client)(*map(self._value, arguments), **values)
            emit("called", call=method, result=_to_json(self._last))
        except Exception as exc:
            emit("called", call=method, error=f"{type(exc).__name__}: {exc}")

    def _value(self, item: Any) -> Any:
        if isinstance(item, list):
            return [self._value(part) for part in item]
        if not isinstance(item, dict):
            return item
        ((kind, value),) = item.items()
        match kind:
            case "jid":
                user, _, server = value.partition("@")
                return build_jid(user, server)
            case "bytes":
                return base64.b64decode(value)
            case "enum":
                name, _, member = value.partition(".")
                return getattr(enum, name)[member]
            case "e2e":
                return ParseDict(value, Message())
            case "event":
                return self.messages[value]
            case "content":
                return self.messages[value].Message
            case "info":
                return self.messages[value].Info
            case "last":
                return self._last
        raise ValueError(f"unknown argument kind: {kind}")


def _to_json(result: Any) -> Any:
    if isinstance(result, Protobuf):
        return MessageToDict(result)
    if isinstance(result, bytes):
        return {"size": len(result), "sha256": hashlib.sha256(result).hexdigest()}
    if result is None or isinstance(result, str | int | float | bool):
        return result
    return [_to_json(item) for item in result]


def _watch(client: NewClient, kind: Any, name: str, *, with_data: bool = False) -> Any:
    def handler(_: NewClient, event: Any) -> None:
        emit(name, **({"data": MessageToDict(event)} if with_data else {}))

    client.event(kind)(handler)
    return handler


def _send(client: NewClient, to: Any, text: str) -> None:
    began = time.time()
    try:
        emit("sent", text=text, id=client.send_message(to, text).ID, began=began)
    except Exception as exc:
        emit("sent", text=text, error=str(exc), began=began)


def _commands(client: NewClient, calls: MethodCalls) -> None:
    for line in sys.stdin:
        command = json.loads(line)
        if "send" in command:
            user, _, server = command["to"].partition("@")
            _send(client, build_jid(user, server), command["send"])
        elif "pairCode" in command:
            emit("code", code=client.PairPhone(command["pairCode"], True))
        elif "call" in command:
            calls.run(command["call"], command.get("args", []), command.get("kwargs", {}))
        elif "logout" in command:
            client.logout()
            emit("done")


main()

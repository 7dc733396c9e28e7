"""Run by `BotProcess`: a neonize client that tells its events as JSON lines and takes commands the same way.

Commands: `{"send": text, "to": address}`, `{"pairCode": phone}`, `{"logout": true}`.
"""

from __future__ import annotations

import ctypes
import json
import sys
import threading
import time
from typing import Any

from neonize import events
from neonize.client import NewClient
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
_RECEIPTS = {1: "delivered", 4: "read"}
_print_lock = threading.Lock()


def tell(event: str, **fields: Any) -> None:
    """Write one event."""
    with _print_lock:
        print(json.dumps({"event": event, "time": time.time(), **fields}), flush=True)


class Client(NewClient):  # type: ignore[misc]
    """A client that also tells how waiting to be linked ended, which neonize only prints."""

    def _NewClient__onLoginStatus(self, _: int, status: int) -> None:  # noqa: N802
        tell("login-status", status=ctypes.string_at(status).decode())


def main() -> None:
    """Connect and stay."""
    session, options = sys.argv[1], sys.argv[2:]
    client = Client(session, uuid=session)
    kept = [_watch(client, kind, name) for kind, name in _PLAIN.items()]

    def qr(_: NewClient, data: bytes) -> None:
        tell("qr", qr=data.decode())

    def paired(_: NewClient, event: Any) -> None:
        tell("paired", phone=event.ID.User)

    def logged_out(_: NewClient, event: Any) -> None:
        tell("logged-out", onConnect=event.OnConnect)

    def receipt(_: NewClient, event: Any) -> None:
        kind = _RECEIPTS.get(event.Type, str(event.Type))
        tell("receipt", ids=list(event.MessageIDs), kind=kind, sender=event.MessageSource.Sender.User)

    def message(_: NewClient, event: Any) -> None:
        text, source = extract_text(event.Message), event.Info.MessageSource
        tell(
            "message",
            text=text,
            id=event.Info.ID,
            name=event.Info.Pushname,
            sender=f"{source.Sender.User}@{source.Sender.Server}",
            alt=f"{source.SenderAlt.User}@{source.SenderAlt.Server}",
            fromMe=source.IsFromMe,
        )
        if "echo" in options:
            threading.Thread(target=_send, args=(client, source.Chat, f"pong {text}"), daemon=True).start()

    client.qr(qr)
    client.event(events.PairStatusEv)(paired)
    client.event(events.LoggedOutEv)(logged_out)
    client.event(events.ReceiptEv)(receipt)
    client.event(events.MessageEv)(message)
    threading.Thread(target=_commands, args=(client,), daemon=True).start()
    tell("started")
    client.connect()
    del kept
    tell("ended")


def _watch(client: NewClient, kind: Any, name: str) -> Any:
    def handler(_: NewClient, __: Any) -> None:
        tell(name)

    client.event(kind)(handler)
    return handler


def _send(client: NewClient, to: Any, text: str) -> None:
    began = time.time()
    try:
        tell("sent", text=text, id=client.send_message(to, text).ID, began=began)
    except Exception as error:
        tell("sent", text=text, error=str(error), began=began)


def _commands(client: NewClient) -> None:
    for line in sys.stdin:
        command = json.loads(line)
        if "send" in command:
            user, _, server = command["to"].partition("@")
            _send(client, build_jid(user, server), command["send"])
        elif "pairCode" in command:
            tell("code", code=client.PairPhone(command["pairCode"], True))
        elif "logout" in command:
            client.logout()
            tell("done")


main()

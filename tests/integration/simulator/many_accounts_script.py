"""Run by test_many_accounts.py: many neonize clients in one process, each with its own phone; they answer every text.

Arguments: the folder for the sessions, the URL of the control API, and the phone numbers. A client is started once the
previous one shows its QR code: neonize stores clients in a map without a lock, and the process crashes when two clients
are added at the same time.
"""

from __future__ import annotations

import json
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

from neonize.client import NewClient
from neonize.events import MessageEv
from neonize.utils.message import extract_text


def run(folder: Path, url: str, phone: str, started: threading.Event) -> None:
    """Run one client until the process is killed."""
    client = NewClient(str(folder / f"{phone}.db"), uuid=phone)

    def scan(_: NewClient, code: bytes) -> None:
        started.set()
        body = json.dumps({"qr": code.decode()}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/accounts/{phone}/scan", body, headers)  # noqa: S310 - always http
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60).close()

    def message(_: NewClient, event: Any) -> None:
        source, text = event.Info.MessageSource, extract_text(event.Message)
        if text and not source.IsFromMe:
            threading.Thread(target=client.send_message, args=(source.Chat, f"pong {text}"), daemon=True).start()

    client.qr(scan)
    client.event(MessageEv)(message)
    client.connect()


def main() -> None:
    """Start all clients, each in its own thread."""
    folder, url, *phones = sys.argv[1:]
    for phone in phones:
        started = threading.Event()
        threading.Thread(target=run, args=(Path(folder), url, phone, started)).start()
        started.wait()


if __name__ == "__main__":
    main()

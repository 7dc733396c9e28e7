"""Run by test_many.py: many neonize clients in one process, each linked by its own phone; they answer every text.

Arguments: the folder for their sessions, the control API, and the phones' numbers. A client is started when the one
before shows its code: neonize keeps them in a map that it does not guard, and ends the process when two are put there
at once.
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
    """One client, until the process is killed."""
    client = NewClient(str(folder / f"{phone}.db"), uuid=phone)

    def scan(_: NewClient, code: bytes) -> None:
        started.set()
        body = json.dumps({"qr": code.decode()}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/accounts/{phone}/scan", body, headers)  # noqa: S310 - it is http
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60).close()

    def message(_: NewClient, event: Any) -> None:
        source, text = event.Info.MessageSource, extract_text(event.Message)
        if text and not source.IsFromMe:
            threading.Thread(target=client.send_message, args=(source.Chat, f"pong {text}"), daemon=True).start()

    client.qr(scan)
    client.event(MessageEv)(message)
    client.connect()


def main() -> None:
    """All clients, each in a thread."""
    folder, url, *phones = sys.argv[1:]
    for phone in phones:
        started = threading.Event()
        threading.Thread(target=run, args=(Path(folder), url, phone, started)).start()
        started.wait()


if __name__ == "__main__":
    main()

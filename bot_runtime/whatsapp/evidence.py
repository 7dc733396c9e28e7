"""Which messages have left, read from the table in which whatsmeow keeps the secrets of messages.

whatsmeow writes a message's secret there, with its id, before it sends the message.
"""

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from bot_runtime.whatsapp.account import SessionUnreadableError

_BATCH = 500
"""SQLite takes at least 999 parameters."""


def find_messages(database: Path, secrets: Collection[bytes], *, in_use: bool = False) -> dict[bytes, str]:
    """The message ids of those secrets that whatsmeow has written down.

    With `in_use` neonize has the file open: then a secret that is not found proves nothing, because the table may be
    read half changed. Raises `SessionUnreadableError`.
    """
    # See `read_account` for why a file in use is read as if nobody wrote it.
    options = "?mode=ro&immutable=1" if in_use else "?mode=rw"
    found: dict[bytes, str] = {}
    wanted = list(secrets)
    try:
        with closing(sqlite3.connect(database.absolute().as_uri() + options, uri=True)) as session:
            for first in range(0, len(wanted), _BATCH):
                batch = wanted[first : first + _BATCH]
                marks = ", ".join("?" * len(batch))
                found.update(
                    session.execute(
                        f"SELECT key, message_id FROM whatsmeow_message_secrets WHERE key IN ({marks})",  # noqa: S608
                        batch,
                    ).fetchall()
                )
    except sqlite3.DatabaseError as error:
        raise SessionUnreadableError(str(error)) from error
    return found

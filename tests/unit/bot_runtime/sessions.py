"""Session files with the tables of whatsmeow that the runtime reads."""

import sqlite3
from pathlib import Path

OWN, ADA = "491700000099", "491700000001"
DEVICE = f"{OWN}:1@s.whatsapp.net"


def make_session(folder: Path) -> Path:
    """The session of `OWN`, in which Ada's hidden id is known."""
    path = folder / "session.db"
    with sqlite3.connect(path) as database:
        database.executescript(
            "CREATE TABLE whatsmeow_message_secrets (our_jid, chat_jid, sender_jid, message_id, key bytea);"
            "CREATE TABLE whatsmeow_device (jid, lid);"
            "CREATE TABLE whatsmeow_sessions (our_jid, their_id, session bytea);"
            "CREATE TABLE whatsmeow_sender_keys (our_jid, chat_id, sender_id, sender_key bytea);"
            "CREATE TABLE whatsmeow_lid_map (lid, pn);"
        )
        database.execute("INSERT INTO whatsmeow_device VALUES (?, '9999:1@lid')", (DEVICE,))
        database.execute("INSERT INTO whatsmeow_lid_map VALUES ('11111', ?)", (ADA,))
    database.close()
    return path


def leaves(session: Path, secret: bytes, message_id: str) -> None:
    """A message leaves its secret."""
    with sqlite3.connect(session) as database:
        database.execute("INSERT INTO whatsmeow_message_secrets VALUES ('', '', '', ?, ?)", (message_id, secret))
    database.close()


def encrypts(session: Path, table: str, *record: str | bytes) -> None:
    """Something is encrypted: a record of a table of encryption states is stored."""
    with sqlite3.connect(session) as database:
        marks = ", ".join("?" * len(record))
        database.execute(f"INSERT INTO {table} VALUES (?, {marks})", (DEVICE, *record))
    database.close()

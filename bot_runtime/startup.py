"""The start of a process before its event loop: lock the volume, read the session, start connecting.

Imports little: connecting takes a while, and the rest of the runtime is imported meanwhile.
"""

import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bot_runtime.contract import ConnectionState, ExitCode
from bot_runtime.environment import Environment
from bot_runtime.errors import is_damaged, is_full
from bot_runtime.lifecycle import Resume
from bot_runtime.outbound.send_log import SendLog, Unsettled
from bot_runtime.room import hold
from bot_runtime.storage.journal import Journal, open_journal
from bot_runtime.storage.session import (
    SessionDirectory,
    SessionInUseError,
    acquire_lock,
    prepare_directory,
    remove_ended_session,
)
from bot_runtime.storage.sqlite import mark_damaged, open_store, waiting_bytes
from bot_runtime.storage.volume import measure
from bot_runtime.whatsapp.account import SessionUnreadableError, read_account
from bot_runtime.whatsapp.core import Dial
from bot_runtime.whatsapp.inbox import Inbox
from bot_runtime.whatsapp.jid import parse_address
from bot_runtime.whatsapp.messages import Account

log = logging.getLogger(__name__)

_T = TypeVar("_T")

ROOM_SECONDS = 5.0
"""How long a start waits for room on a full volume: well below the time in which a container has to become healthy."""
ROOM_POLL_SECONDS = 0.2


class StartupError(Exception):
    """The bot cannot start. The process exits with `code`."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    """What is open when the event loop starts. The connection has been started, unless `held`; the inbox collects its
    events."""

    environment: Environment
    directory: SessionDirectory
    lock: int
    """Descriptor of the session's lock."""
    store: sqlite3.Connection
    inbox: Inbox
    dial: Dial
    account: Account | None
    resume: Resume | None
    """What the previous process passed on, after a restart in place."""
    held: ConnectionState | None
    """Why nothing has been connected (`room.py`), if so."""


def open_session(environment: Environment, resume: Resume | None) -> OpenSession:
    """Open the bot's files and start connecting. Raises `StartupError`."""
    directory, lock = _when_there_is_room(lambda: _lock(environment, resume))
    account, store, journal = _when_there_is_room(lambda: _open_files(directory))
    inbox = Inbox(journal)
    dial = _dial(environment, directory, account)
    space = measure(directory.path, environment.config.volume_max_bytes)
    held = hold(None, spool_bytes=waiting_bytes(store), free_bytes=space.free_bytes, total_bytes=space.total_bytes)
    if held is None:
        inbox.core.connect(dial)
    return OpenSession(
        environment=environment,
        directory=directory,
        lock=lock,
        store=store,
        inbox=inbox,
        dial=dial,
        account=account,
        resume=resume,
        held=held,
    )


def _when_there_is_room(step: Callable[[], _T]) -> _T:
    """The result of `step`, repeated for up to `ROOM_SECONDS` while the disk is full. Raises `StartupError`."""
    deadline = time.monotonic() + ROOM_SECONDS
    while True:
        try:
            return step()
        except (OSError, sqlite3.Error) as exc:
            if not is_full(exc):
                raise StartupError(ExitCode.INTERNAL_ERROR, f"the volume cannot be used: {exc}") from exc
            if time.monotonic() >= deadline:
                raise StartupError(ExitCode.DISK_FULL, "the bot's volume is full") from exc
        time.sleep(ROOM_POLL_SECONDS)


def _lock(environment: Environment, resume: Resume | None) -> tuple[SessionDirectory, int]:
    directory = prepare_directory(environment.auth_root, environment.server_name, environment.bot_id)
    try:
        return directory, acquire_lock(directory, resume.lock if resume else None)
    except SessionInUseError as exc:
        raise StartupError(ExitCode.SESSION_IN_USE, str(exc)) from exc


def _open_files(directory: SessionDirectory) -> tuple[Account | None, sqlite3.Connection, Journal]:
    try:
        remove_ended_session(directory)
        account = read_account(directory.database, check=True)
    except SessionUnreadableError as exc:
        raise StartupError(ExitCode.SESSION_UNREADABLE, f"the session is damaged: {exc}") from exc
    store = open_store(directory.store)
    try:
        settle_sends(SendLog(store), directory.database, account)
        waiting_bytes(store)  # reads what the spool will read
        return account, store, open_journal(directory.arrivals, store)
    except BaseException as exc:
        store.close()
        if not is_damaged(exc):
            raise
        mark_damaged(directory.store)
        return _open_files(directory)


def settle_sends(send_log: SendLog, database: Path, account: Account | None) -> None:
    """Determine the outcome of messages that were in flight when the last process ended, see `outbound/send_log.py`.

    Only before neonize opens the session: afterwards the file cannot be read reliably.
    """
    send_log.forget_repeatable()
    if account is None:
        send_log.lose_evidence()
        return
    unsettled = send_log.unsettled()
    if not unsettled:
        return
    from bot_runtime.whatsapp.evidence import chat_state, find_messages

    def not_encrypted(message: Unsettled) -> bool:
        return message.state is not None and message.state == chat_state(database, parse_address(message.recipient))

    try:
        known = find_messages(database, [message.secret for message in unsettled])
        sent = {
            message.client_id: known[message.secret]
            for message in unsettled
            if message.secret in known and not not_encrypted(message)
        }
    except SessionUnreadableError as exc:
        log.warning("the outcome of %d messages is unknown, the session cannot be read: %s", len(unsettled), exc)
        return
    log.info("%d messages were in flight when the last process ended, %d of them were sent", len(unsettled), len(sent))
    send_log.settle(sent)


def _dial(environment: Environment, directory: SessionDirectory, account: Account | None) -> Dial:
    device = b""
    if account is None:
        from bot_runtime.whatsapp import encode

        device = encode.device_properties()
    level = {"debug": "INFO", "info": "WARN"}.get(environment.config.log_level, "ERROR")  # its DEBUG holds secrets
    return Dial(database=directory.database, device=device, log_level=level)

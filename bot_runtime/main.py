"""The order of things at the start: check, lock, connect, and while WhatsApp answers import and start the rest."""

import logging
import os
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from bot_runtime.contract import ExitCode
from bot_runtime.environment import Environment, InvalidEnvironmentError, read_environment
from bot_runtime.lifecycle import Resume, StopSignal, restart_in_place, take_resume
from bot_runtime.logs import give_back_stdout, set_up_logging
from bot_runtime.outbound.send_log import Outbox, Unsettled
from bot_runtime.storage.journal import open_journal
from bot_runtime.storage.session import SessionDirectory, SessionInUseError, acquire_lock, prepare_directory
from bot_runtime.storage.sqlite import open_store
from bot_runtime.whatsapp.account import SessionUnreadableError, read_account
from bot_runtime.whatsapp.core import Dial
from bot_runtime.whatsapp.inbox import Inbox
from bot_runtime.whatsapp.jid import parse_address
from bot_runtime.whatsapp.messages import Account

log = logging.getLogger("bot_runtime")

SWITCH_SECONDS = 0.0005
"""How long Python may keep the library's callback waiting: what waits there is lost with a SIGKILL."""


def run() -> int:
    """Run the bot until it is told to stop; the exit code."""
    stop = StopSignal()
    sys.setswitchinterval(SWITCH_SECONDS)
    os.umask(0o077)
    resume = take_resume(os.environ)
    try:
        environment = read_environment(os.environ)
    except InvalidEnvironmentError as error:
        print(f"invalid configuration: {error}", file=sys.stderr)  # noqa: T201 - there is no log yet
        return ExitCode.INVALID_CONFIG
    stream = set_up_logging(environment.log_level)
    try:
        directory = prepare_directory(environment.auth_root, environment.server_name, environment.bot_id)
        lock = acquire_lock(directory, resume.lock if resume else None)
    except SessionInUseError as error:
        log.critical("%s", error)
        return ExitCode.SESSION_IN_USE
    except OSError as error:
        log.critical("the volume cannot be used: %s", error)
        return ExitCode.INTERNAL_ERROR
    try:
        account = read_account(directory.database, check=True)
    except SessionUnreadableError as error:
        log.critical("the session is damaged: %s", error)
        return ExitCode.SESSION_UNREADABLE
    store = open_store(directory.store)
    settle_sends(Outbox(store), directory.database, account)
    inbox = Inbox(open_journal(directory.arrivals, store))
    dial = _start_connecting(inbox, environment, directory, account)
    return _run_loop(environment, directory, store, inbox, dial, account, lock, resume, stop, stream)


def settle_sends(outbox: Outbox, database: Path, account: Account | None) -> None:
    """Find out what became of the messages that were under way when the last process ended, see `outbound/send_log.py`.

    Only while neonize does not have the session open, because only then is its file sure to be read right.
    """
    outbox.forget_repeatable()
    if account is None:
        outbox.lose_evidence()
        return
    unsettled = outbox.unsettled()
    if not unsettled:
        return
    from bot_runtime.whatsapp.evidence import chat_state, find_messages

    def left_nothing(message: Unsettled) -> bool:
        return message.state is not None and message.state == chat_state(database, parse_address(message.recipient))

    try:
        known = find_messages(database, [message.secret for message in unsettled])
        left = {
            message.client_id: known[message.secret]
            for message in unsettled
            if message.secret in known and not left_nothing(message)
        }
    except SessionUnreadableError as error:
        log.warning("what became of %d messages cannot be found out: %s", len(unsettled), error)
        return
    log.info("%d messages were under way at the end, %d of them had left", len(unsettled), len(left))
    outbox.settle(left)


def _start_connecting(
    inbox: Inbox, environment: Environment, directory: SessionDirectory, account: Account | None
) -> Dial:
    device = b""
    if account is None:
        from bot_runtime.whatsapp import encode

        device = encode.device_properties()
    level = {"debug": "INFO", "info": "WARN"}.get(environment.log_level, "ERROR")  # its DEBUG holds secrets
    dial = Dial(database=directory.database, device=device, log_level=level)
    inbox.core.connect(dial)
    return dial


def _run_loop(
    environment: Environment,
    directory: SessionDirectory,
    store: sqlite3.Connection,
    inbox: Inbox,
    dial: Dial,
    account: Account | None,
    lock: int,
    resume: Resume | None,
    stop: StopSignal,
    stream: TextIO,
) -> int:
    import asyncio
    import socket
    from concurrent.futures import ThreadPoolExecutor

    from bot_runtime.bot import Bot
    from bot_runtime.endpoint.routes import make_application, rejection
    from bot_runtime.endpoint.server import Server, listen
    from bot_runtime.heartbeat import Heartbeat
    from bot_runtime.storage.config import ConfigFile

    listener = socket.socket(fileno=resume.listener) if resume else listen(environment.port)
    port = listener.getsockname()[1]
    started_at = datetime.fromisoformat(resume.started_at) if resume else datetime.now(UTC)
    boot_id = resume.boot_id if resume else os.urandom(8).hex()

    async def live() -> tuple[ExitCode, Resume | None]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(4, thread_name_prefix="blocking"))
        ending: asyncio.Future[tuple[ExitCode, int | None]] = loop.create_future()

        def leave(code: ExitCode, restart_with: int | None = None) -> None:
            if not ending.done():
                server.announce_end()
                ending.set_result((code, restart_with))

        def heart_stopped(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                log.critical("the heartbeat failed", exc_info=task.exception())
                leave(ExitCode.INTERNAL_ERROR)

        bot = Bot(
            environment,
            directory,
            ConfigFile(directory.config, environment.config),
            store,
            inbox,
            dial,
            account,
            own_port=port,
            boot_id=boot_id,
            started_at=started_at,
            attempts=resume.attempts if resume else 0,
            leave=leave,
            restart=lambda attempts: leave(ExitCode.STOPPED, attempts),
        )
        server = Server(make_application(bot, environment.token), reject=rejection)
        await server.start(listener)
        log.info("bot %s of %s serves on port %d", environment.bot_id, environment.server_name, port)
        bot.start()
        heartbeat = asyncio.create_task(Heartbeat(bot).run())
        heartbeat.add_done_callback(heart_stopped)
        stop.notify(lambda: loop.call_soon_threadsafe(leave, ExitCode.STOPPED))
        code, attempts = await ending
        heartbeat.cancel()
        if attempts is not None:
            server.close()
            return code, Resume(
                lock=lock,
                listener=listener.fileno(),
                boot_id=boot_id,
                started_at=started_at.isoformat(),
                attempts=attempts,
            )
        await bot.close()
        server.close()
        return code, None

    try:
        code, restart = asyncio.new_event_loop().run_until_complete(live())
    except Exception:
        log.exception("the runtime failed")
        return ExitCode.INTERNAL_ERROR
    if restart is not None and not stop.withdraw():
        log.info("starting anew in place")
        give_back_stdout(stream)
        restart_in_place(restart)
    log.info("ends with exit code %d (%s)", code, code.name.lower().replace("_", "-"))
    return code

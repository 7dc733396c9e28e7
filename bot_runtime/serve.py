"""The event loop of a bot's process: runs the bot, its endpoint and its heartbeat until one of them ends it."""

import asyncio
import logging
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

from bot_runtime.bot import BotRuntime
from bot_runtime.contract import ExitCode
from bot_runtime.endpoint.calls import EndpointCalls
from bot_runtime.endpoint.routes import make_application, make_authorization, rejection
from bot_runtime.endpoint.server import HttpServer, listen
from bot_runtime.errors import is_damaged
from bot_runtime.lifecycle import Restart, Resume, StopSignal
from bot_runtime.reports import BotIdentity
from bot_runtime.startup import OpenSession
from bot_runtime.storage.sqlite import mark_damaged

log = logging.getLogger(__name__)

_BLOCKING_THREADS = 4


async def serve(session: OpenSession, stop: StopSignal) -> tuple[ExitCode, Resume | None]:
    """Run the bot until it ends: the exit code, and what a restart in place continues with if one is needed."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_BLOCKING_THREADS, thread_name_prefix="blocking"))
    ending: asyncio.Future[tuple[ExitCode, Restart | None]] = loop.create_future()

    def leave(code: ExitCode, restart: Restart | None = None) -> None:
        if not ending.done():
            server.announce_end()
            ending.set_result((code, restart))

    def heartbeat_ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            log.critical("the heartbeat failed", exc_info=task.exception())
            leave(ExitCode.INTERNAL_ERROR)

    def callback_failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not is_damaged(context.get("exception")):
            loop.default_exception_handler(context)
            return
        log.critical("the store is damaged: %s", context["exception"])
        mark_damaged(session.directory.store)
        leave(ExitCode.INTERNAL_ERROR)

    loop.set_exception_handler(callback_failed)
    environment, resume = session.environment, session.resume
    listener = socket.socket(fileno=resume.listener) if resume else listen(environment.port)
    port = listener.getsockname()[1]
    identity = BotIdentity(
        bot_id=environment.bot_id,
        server_name=environment.server_name,
        boot_id=os.urandom(8).hex(),
        started_at=datetime.fromisoformat(resume.started_at) if resume else datetime.now(UTC),
    )
    bot = BotRuntime(
        session,
        identity,
        own_port=port,
        leave=leave,
        restart=partial(leave, ExitCode.STOPPED),
    )
    server = HttpServer(
        make_application(EndpointCalls(bot)), authorize=make_authorization(environment.token), reject=rejection
    )
    await server.start(listener)
    log.info("bot %s of server %s serves on port %d", identity.bot_id, identity.server_name, port)
    bot.start()
    heartbeat = asyncio.create_task(bot.heartbeat.run())
    heartbeat.add_done_callback(heartbeat_ended)
    stop.notify(lambda: loop.call_soon_threadsafe(leave, ExitCode.STOPPED))
    code, restart = await ending
    heartbeat.cancel()
    if restart is None:
        await bot.close()
        server.close()
        listener.close()
        return code, None
    server.close()
    await bot.close(restarting=True)
    return code, Resume(
        lock=session.lock,
        listener=listener.detach(),
        started_at=identity.started_at.isoformat(),
        restart=restart,
    )

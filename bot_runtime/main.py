"""The process of a bot: start connecting first, import and run everything else while WhatsApp answers."""

import logging
import os
import sys
from typing import TextIO

from bot_runtime.contract import ExitCode
from bot_runtime.environment import InvalidEnvironmentError, read_environment
from bot_runtime.errors import is_damaged, is_full
from bot_runtime.lifecycle import StopSignal, restart_in_place, take_resume
from bot_runtime.logs import restore_stdout, set_up_logging
from bot_runtime.startup import OpenSession, StartupError, open_session
from bot_runtime.storage.confinement import forbid_foreign_programs
from bot_runtime.storage.sqlite import mark_damaged

log = logging.getLogger("bot_runtime")

SWITCH_SECONDS = 0.0005
"""How long Python may keep the library's callback waiting: an event that waits there is lost with a SIGKILL."""


def run() -> int:
    """Run the bot until it is stopped; the exit code."""
    resume = take_resume(os.environ)
    # A restart in place is restricted already, and the kernel limits how many restrictions may be added.
    confined = resume is not None or forbid_foreign_programs()
    stop = StopSignal()
    sys.setswitchinterval(SWITCH_SECONDS)
    os.umask(0o077)
    try:
        environment = read_environment(os.environ)
    except InvalidEnvironmentError as exc:
        print(f"invalid configuration: {exc}", file=sys.stderr)  # noqa: T201 - logging is not set up yet
        return ExitCode.INVALID_CONFIG
    stream = set_up_logging(environment.config.log_level)
    if not confined:
        log.warning("this kernel has no Landlock: programs on the volume can be executed")
    try:
        session = open_session(environment, resume)
    except StartupError as exc:
        log.critical("%s", exc)
        return exc.code
    return _run_loop(session, stop, stream)


def _run_loop(session: OpenSession, stop: StopSignal, stream: TextIO) -> int:
    # Imported here: the connection is being set up while these are loaded.
    import asyncio

    from bot_runtime.serve import serve

    try:
        code, resume = asyncio.new_event_loop().run_until_complete(serve(session, stop))
    except Exception as exc:
        if is_full(exc):
            log.critical("the volume of the bot is full: %s", exc)
            return ExitCode.DISK_FULL
        if is_damaged(exc):
            mark_damaged(session.directory.store)
        log.exception("the runtime failed")
        return ExitCode.INTERNAL_ERROR
    if resume is not None and not stop.withdraw():
        log.info("restarting in place")
        restore_stdout(stream)
        restart_in_place(resume)
    log.info("exiting with code %d (%s)", code, code.name.lower().replace("_", "-"))
    return code

"""How the process ends: within five seconds of a signal even if something hangs, or by restarting in place.

SIGTERM and SIGINT are blocked in all threads and received by one thread that does nothing else. So a signal is never
lost, neither during a restart in place, when it stays pending, nor while Python waits inside Go. The thread that
received the signal is also the watchdog.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import NoReturn

import msgspec

from bot_runtime.contract import ExitCode

EXIT_SECONDS = 4.0
"""How long a clean shutdown may take before the process exits anyway."""

_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
_WITHDRAW = signal.SIGUSR1
_RESUME = "BOTDOCK_RESUME"


def block_stop_signals() -> None:
    """Call before any thread is started: all threads inherit the mask, including Go's."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_STOP_SIGNALS, _WITHDRAW})


class StopSignal:
    """Waits for SIGTERM or SIGINT; `on_stop` is called once, on another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = False
        self._on_stop: Callable[[], object] | None = None
        self._thread = threading.Thread(target=self._wait, name="signals", daemon=True)
        self._thread.start()

    def notify(self, on_stop: Callable[[], object]) -> None:
        """Call `on_stop` when the signal arrives, or now if it has arrived before."""
        with self._lock:
            self._on_stop = on_stop
            if self._received:
                on_stop()

    def withdraw(self) -> bool:
        """Stop waiting; whether the signal has arrived. One that arrives later stays pending, also across an exec."""
        if not self._received and self._thread.ident is not None:
            signal.pthread_kill(self._thread.ident, _WITHDRAW)
            while self._thread.is_alive() and not self._received:
                self._thread.join(0.01)
        return self._received

    def _wait(self) -> None:
        if signal.sigwait({*_STOP_SIGNALS, _WITHDRAW}) == _WITHDRAW:
            return
        with self._lock:
            self._received = True
            if self._on_stop is not None:
                self._on_stop()
        time.sleep(EXIT_SECONDS)
        os._exit(ExitCode.STOPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A request to restart the process in place."""

    attempts: int
    """Consecutive failed attempts to connect so far; the new process continues the count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """What a process passes on in a restart in place: open descriptors, and values that continue."""

    lock: int
    listener: int
    started_at: str
    restart: Restart


def restart_in_place(resume: Resume) -> NoReturn:
    """Replace this process by a new one with the same pid, volume lock and listening socket."""
    for descriptor in (resume.lock, resume.listener):
        os.set_inheritable(descriptor, True)
    environment = {**os.environ, _RESUME: msgspec.json.encode(resume).decode()}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606


def take_resume(environ: MutableMapping[str, str]) -> Resume | None:
    """What the previous process passed on, if anything; removed from the environment."""
    value = environ.pop(_RESUME, None)
    if value is None:
        return None
    resume = msgspec.json.decode(value, type=Resume)
    for descriptor in (resume.lock, resume.listener):
        os.set_inheritable(descriptor, False)
    return resume

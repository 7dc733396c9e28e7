"""How the process ends: by a signal within five seconds whatever hangs, or by starting anew in place.

SIGTERM and SIGINT are blocked in every thread and fetched by one thread that waits for nothing else. So a signal is
never lost (not while the process replaces itself, when it stays pending, and not while Python waits inside Go), and the
thread that fetched it is the watchdog too.
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
"""How long a clean end may take before the process just ends."""

_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
_WITHDRAW = signal.SIGUSR1
_RESUME = "BOTDOCK_RESUME"


def block_stop_signals() -> None:
    """Call before any thread is started: threads inherit the mask, Go's as well."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_STOP_SIGNALS, _WITHDRAW})


class StopSignal:
    """Waits for SIGTERM or SIGINT; `on_stop` is called once, from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = False
        self._on_stop: Callable[[], object] | None = None
        self._thread = threading.Thread(target=self._wait, name="signals", daemon=True)
        self._thread.start()

    def notify(self, on_stop: Callable[[], object]) -> None:
        """Call `on_stop` when the signal comes, or now if it came before."""
        with self._lock:
            self._on_stop = on_stop
            if self._received:
                on_stop()

    def withdraw(self) -> bool:
        """Stop waiting; whether the signal has come. One that comes later stays pending, also through an exec."""
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
class Resume:
    """What a process that replaces itself hands on: open descriptors and the numbers that go on."""

    lock: int
    listener: int
    boot_id: str
    started_at: str
    attempts: int


def restart_in_place(resume: Resume) -> NoReturn:
    """Replace this process by a new one with the same id, volume lock and listening socket."""
    for descriptor in (resume.lock, resume.listener):
        os.set_inheritable(descriptor, True)
    environment = {**os.environ, _RESUME: msgspec.json.encode(resume).decode()}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606


def take_resume(environ: MutableMapping[str, str]) -> Resume | None:
    """What the process before this one handed on, if any; removed from the environment."""
    value = environ.pop(_RESUME, None)
    if value is None:
        return None
    resume = msgspec.json.decode(value, type=Resume)
    for descriptor in (resume.lock, resume.listener):
        os.set_inheritable(descriptor, False)
    return resume

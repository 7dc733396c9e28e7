"""Drives the WhatsApp connection: what Go reports goes through the state machine, and its actions are carried out.

Go's threads only put what they have into an inbox; everything else runs on the event loop. The connection can be
started before there is a loop (it is on its way while the rest of the runtime is imported): the inbox keeps what came
until `attach`.
"""

import asyncio
import logging
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from bot_runtime.contract import ConnectionState, Fault, Qr, RuntimeConfig
from bot_runtime.whatsapp.core import DISCONNECTED, KEEPALIVE_TIMEOUT, Dial
from bot_runtime.whatsapp.inbox import End, Inbox, Item, PairingEnd, QrCode, Raw, read
from bot_runtime.whatsapp.messages import (
    ENDED_SILENTLY,
    OUTDATED,
    WITHOUT_CONTENT,
    Account,
    Arrival,
    Status,
    failure_of,
    is_session_error,
)
from bot_runtime.whatsapp.sockets import Outgoing
from bot_runtime.whatsapp.state import Action, Link, Signal, advance, backoff

log = logging.getLogger(__name__)

FIRST_QR_SECONDS, NEXT_QR_SECONDS, QR_CODES = 60, 20, 6
LOGIN_SECONDS = 90.0
"""From the start of a connection to its login; whatsmeow itself gives up on an answer after 75 s."""
STOP_SECONDS = 2.0
MAX_DIALS = 20
"""Every new client leaves a descriptor and 80 KiB behind in the library; after so many the process starts anew."""
_SILENCE = (WITHOUT_CONTENT[DISCONNECTED], WITHOUT_CONTENT[KEEPALIVE_TIMEOUT])
"""What the library reports when nothing has arrived."""


class Listener(Protocol):
    """Who is told what happens. All calls come on the event loop and must not block."""

    def state_changed(self, link: Link, fault: Fault | None) -> None: ...
    def qr_shown(self, qr: Qr) -> None: ...
    def paired(self, account: Account) -> None: ...
    def arrived(self, arrival: Arrival) -> None: ...
    def more_kept(self) -> None: ...
    def session_unreadable(self, error: str) -> None: ...
    def gave_up(self, attempts: int) -> None: ...
    def restart_needed(self, attempts: int) -> None: ...


class Connection:
    """One WhatsApp connection; `link`, `since`, `fault`, `qr` and `last_activity` tell how it is."""

    def __init__(
        self,
        inbox: Inbox,
        dial: Dial,
        *,
        listener: Listener,
        config: Callable[[], RuntimeConfig],
        own_port: int,
        attempts: int,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._inbox = inbox
        self._core = inbox.core
        self._dial = dial
        self._listener = listener
        self._config = config
        self._own_port = own_port
        self._uniform = uniform
        self._timer: asyncio.TimerHandle | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._codes = 0
        self._dials = 1
        self.link = Link(attempts=attempts)
        self.since = datetime.now(UTC)
        self.fault: Fault | None = None
        self.qr: Qr | None = None
        self.pairing_until: datetime | None = None
        self.last_activity: datetime | None = None
        self.reconnects = 0

    def attach(self) -> None:
        """Take over from the inbox; the connection has been started."""
        self._listener.state_changed(self.link, None)
        self._await(LOGIN_SECONDS, Signal.ATTEMPT_FAILED, "no login in time")
        self._inbox.attach(asyncio.get_running_loop(), self._receive, self._more_kept)

    def reset(self) -> None:
        """A new connection now, or a new QR where that is what is missing."""
        self._signal(Status(Signal.RESET))

    def logged_out(self) -> None:
        """This device has been removed from the account at our own wish."""
        self._signal(Status(Signal.LOGGED_OUT, "logged-out", "logged out on request"))

    async def check(self) -> None:
        """Notice a connection that ended without a word."""
        if self.link.state is ConnectionState.ONLINE and not await asyncio.to_thread(self._core.is_connected):
            await asyncio.sleep(1)  # it may be reconnecting this very moment: its event is then on the way
            if self.link.state is ConnectionState.ONLINE and not await asyncio.to_thread(self._core.is_connected):
                self._signal(ENDED_SILENTLY)

    async def close(self) -> None:
        """Disconnect; gives the library two seconds and no more."""
        self._signal(Status(Signal.STOP))
        self._cancel()
        await self._stop_core()

    def _receive(self, item: Item) -> None:
        if not isinstance(item, PairingEnd | End) and item not in _SILENCE:
            self.last_activity = datetime.now(UTC)
        if isinstance(item, Raw):
            self._read(item)
        elif isinstance(item, Status):
            self._reported(item)
        elif isinstance(item, QrCode):
            self._show_qr(item.text)
        elif isinstance(item, PairingEnd):
            self._pairing_ended(item.how)
        else:
            self._ended(item.error)

    def _more_kept(self) -> None:
        self.last_activity = datetime.now(UTC)
        self._listener.more_kept()

    def _read(self, event: Raw) -> None:
        found = read(event.code, event.data)
        if isinstance(found, Status):
            self._reported(found)
        elif isinstance(found, Account):
            self._listener.paired(found)
        elif found is not None:
            self._listener.arrived(found)

    def _reported(self, status: Status) -> None:
        if self._reconnecting is None or status.signal is not Signal.DISCONNECTED:
            self._signal(status)

    def _show_qr(self, code: str) -> None:
        now = datetime.now(UTC)
        if self._codes == 0:
            self.pairing_until = now + timedelta(seconds=FIRST_QR_SECONDS + (QR_CODES - 1) * NEXT_QR_SECONDS)
        seconds = NEXT_QR_SECONDS if self._codes else FIRST_QR_SECONDS
        self._codes += 1
        self.qr = Qr(code=code, expires_at=now + timedelta(seconds=seconds))
        self._signal(Status(Signal.QR_SHOWN))
        self._listener.qr_shown(self.qr)

    def _pairing_ended(self, how: str) -> None:
        match how:
            case "success":
                self._codes = 0
                self._signal(Status(Signal.PAIRED))
            case "timeout" if self.qr is not None and datetime.now(UTC) < self.qr.expires_at - timedelta(seconds=2):
                self._signal(Status(Signal.ATTEMPT_FAILED, "disconnected", "the connection was lost while pairing"))
            case "timeout":
                self._signal(Status(Signal.QR_EXPIRED, "pairing-expired", "nobody has scanned the QR code in time"))
            case "err-client-outdated":
                self._signal(OUTDATED)
            case "error":
                self._signal(Status(Signal.QR_EXPIRED, "pairing-failed", "the phone and WhatsApp could not pair"))
            case _:
                log.warning("pairing reported %s", how)

    def _ended(self, error: str) -> None:
        if self._reconnecting is not None:
            return  # this runtime has stopped it
        if is_session_error(error):
            self._listener.session_unreadable(error)
            return
        self._signal(failure_of(error))

    def _signal(self, status: Status) -> None:
        before = self.link
        self.link, action = advance(before, status.signal, max_attempts=self._config().max_reconnect_attempts)
        fault = Fault(code=status.code, message=status.message, at=datetime.now(UTC)) if status.code else None
        if self.link != before and fault is not None:
            self.fault = fault
        if self.link.state is not before.state:
            self._enter(before.state)
        if self.link != before:
            self._listener.state_changed(self.link, fault)
        if action is not None:
            self._do(action)

    def _enter(self, before: ConnectionState) -> None:
        self.since = datetime.now(UTC)
        if self.link.state is not ConnectionState.PAIRING:
            self.qr = self.pairing_until = None
        if self.link.state is ConnectionState.ONLINE:
            self.fault = None
            self.reconnects += before is ConnectionState.RECONNECTING
        if self.link.state is not ConnectionState.DEAF:
            self._cancel()

    def _do(self, action: Action) -> None:
        base = self._config().reconnect_base_delay_seconds
        match action:
            case Action.AWAIT_LOGIN:
                self._await(LOGIN_SECONDS, Signal.ATTEMPT_FAILED, "no login in time")
            case Action.AWAIT_QUICK_RETRY:
                self._await(backoff(1, base, self._uniform), Signal.QUICK_RETRY_FAILED, "still not connected")
            case Action.RECONNECT_NOW:
                self._reconnect(0)
            case Action.RECONNECT_LATER:
                self._reconnect(backoff(self.link.attempts, base, self._uniform))
            case Action.DROP_SOCKET:
                if Outgoing(self._own_port).drop() == 0:
                    self._signal(Status(Signal.DISCONNECTED, "disconnected", "there was no connection to renew"))
            case Action.RESTART:
                self._listener.restart_needed(self.link.attempts)
            case Action.GIVE_UP:
                self._cancel()
                self._listener.gave_up(self.link.attempts)

    def _await(self, seconds: float, signal: Signal, message: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        status = Status(signal, "connect-timeout", message)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._signal, status)

    def _reconnect(self, delay: float) -> None:
        self._cancel()
        self._reconnecting = asyncio.create_task(self._reconnect_after(delay))

    async def _reconnect_after(self, delay: float) -> None:
        log.info("connecting again in %.1f s (after %d failed attempts)", delay, self.link.attempts)
        await asyncio.gather(self._stop_core(), asyncio.sleep(delay))
        self._reconnecting = None
        if self._core.connecting or self._dials >= MAX_DIALS:  # neonize is stuck, as it is after a QR phase
            self._listener.restart_needed(self.link.attempts)
            return
        self._dials += 1
        self._core.connect(self._dial)
        self._await(LOGIN_SECONDS, Signal.ATTEMPT_FAILED, "no login in time")

    async def _stop_core(self) -> None:
        """Stop the client on a thread of its own: the call blocks while a dial is under way."""
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()

        def stop() -> None:
            self._core.stop()
            self._core.wait_until_ended(STOP_SECONDS)
            loop.call_soon_threadsafe(stopped.set)

        threading.Thread(target=stop, name="whatsapp-stop", daemon=True).start()
        try:
            await asyncio.wait_for(stopped.wait(), STOP_SECONDS)
        except TimeoutError:
            log.info("the client does not stop by itself")

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            self._reconnecting = None

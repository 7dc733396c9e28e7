"""Drives the WhatsApp connection: feeds what Go reports into the state machine and executes its actions.

Go's threads only put their events into an inbox; everything else runs on the event loop. The connection is started
before the loop runs, while the rest of the runtime is imported: the inbox holds the events until `attach`.
"""

import asyncio
import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from bot_runtime.contract import ConnectionState, Fault, Qr, RuntimeConfig, shortened
from bot_runtime.lifecycle import Restart
from bot_runtime.whatsapp.core import Dial
from bot_runtime.whatsapp.event_codes import DISCONNECTED, KEEPALIVE_TIMEOUT
from bot_runtime.whatsapp.inbox import End, Inbox, Item, PairingEnd, QrCode, Raw, read
from bot_runtime.whatsapp.messages import (
    ENDED_SILENTLY,
    OUTDATED,
    WITHOUT_CONTENT,
    Account,
    Arrival,
    ConnectionReport,
    failure_of,
    is_session_error,
)
from bot_runtime.whatsapp.sockets import OutgoingSockets
from bot_runtime.whatsapp.state import HELD, HELD_STATES, ConnectionAction, ConnectionStatus, Signal, advance, backoff

log = logging.getLogger(__name__)

FIRST_QR_SECONDS, NEXT_QR_SECONDS, QR_CODES = 60, 20, 6
LOGIN_SECONDS = 90.0
"""From the start of a connection to its login; whatsmeow's own requests time out after 75 s."""
STOP_SECONDS = 2.0
MAX_DIALS = 20
"""Every new client leaks a descriptor and 80 KiB in the library; after this many the process restarts in place."""
_SILENCE = (WITHOUT_CONTENT[DISCONNECTED], WITHOUT_CONTENT[KEEPALIVE_TIMEOUT])
"""Reports that do not mean that anything arrived from WhatsApp."""


class Listener(Protocol):
    """Receives what happens. All calls are made on the event loop and must not block."""

    def state_changed(self, status: ConnectionStatus, fault: Fault | None) -> None: ...
    def qr_shown(self, qr: Qr) -> None: ...
    def paired(self, account: Account) -> None: ...
    def arrived(self, arrival: Arrival) -> None: ...
    def journal_grew(self) -> None: ...
    def session_unreadable(self, error: str) -> None: ...
    def reconnect_failed(self, attempts: int) -> None: ...
    def restart_needed(self, restart: Restart) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSnapshot:
    """The state of a connection at one time."""

    status: ConnectionStatus
    since: datetime
    fault: Fault | None
    last_activity: datetime | None
    next_attempt_at: datetime | None


class WhatsAppConnection:
    """One WhatsApp connection. `status`, `since`, `fault`, `qr` and `last_activity` describe its state."""

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
        self._hanging_up: asyncio.Task[None] | None = None
        self._codes = 0
        self._qr_expires = 0.0
        self._dials = 1
        self.status = ConnectionStatus(attempts=attempts)
        self.since = datetime.now(UTC)
        self.fault: Fault | None = None
        self.qr: Qr | None = None
        self.pairing_until: datetime | None = None
        self.last_activity: datetime | None = None
        self.next_attempt_at: datetime | None = None
        self.reconnects = 0

    def attach(self) -> None:
        """Receive from the inbox from now on; the connection has been started before."""
        self._listener.state_changed(self.status, None)
        self._await(LOGIN_SECONDS, Signal.ATTEMPT_FAILED, "login timed out")
        self._inbox.attach(asyncio.get_running_loop(), self._receive, self._journal_grew)

    def snapshot(self) -> ConnectionSnapshot:
        """The state as data."""
        return ConnectionSnapshot(
            status=self.status,
            since=self.since,
            fault=self.fault,
            last_activity=self.last_activity,
            next_attempt_at=self.next_attempt_at,
        )

    def reset(self) -> None:
        """Open a new connection now, or show a new QR code while not paired."""
        self._signal(ConnectionReport(Signal.RESET))

    def hold(self, state: ConnectionState, message: str) -> None:
        """Disconnect until `resume`, in a state of `HELD`; `message` explains it."""
        signal = next(signal for signal, held in HELD.items() if held is state)
        self._signal(ConnectionReport(signal, state.value, message))

    def resume(self) -> None:
        """Connect again."""
        self._signal(ConnectionReport(Signal.ROOM))

    def logged_out(self) -> None:
        """This device has been removed from the account on request."""
        self._signal(ConnectionReport(Signal.LOGGED_OUT, "logged-out", "logged out on request"))

    async def check(self) -> None:
        """Detect a connection that ended without an event."""
        if self.status.state is ConnectionState.ONLINE and not await asyncio.to_thread(self._core.is_connected):
            await asyncio.sleep(1)  # it may be reconnecting just now, its event is then on the way
            if self.status.state is ConnectionState.ONLINE and not await asyncio.to_thread(self._core.is_connected):
                self._signal(ENDED_SILENTLY)

    async def close(self, *, restarting: bool = False) -> None:
        """Disconnect, waiting for the library two seconds at most. A restart in place is not a change of the state."""
        if restarting:
            self.status = ConnectionStatus(ConnectionState.CLOSING)
        self._signal(ConnectionReport(Signal.STOP))
        self._cancel()
        await self._stop_core(restarting=restarting)

    def _receive(self, item: Item) -> None:
        if not isinstance(item, PairingEnd | End) and item not in _SILENCE:
            self.last_activity = datetime.now(UTC)
        if isinstance(item, Raw):
            self._read(item)
        elif isinstance(item, ConnectionReport):
            self._reported(item)
        elif isinstance(item, QrCode):
            self._show_qr(item.text)
        elif isinstance(item, PairingEnd):
            self._pairing_ended(item.how)
        else:
            self._ended(item.error)

    def _journal_grew(self) -> None:
        self.last_activity = datetime.now(UTC)
        self._listener.journal_grew()

    def _read(self, event: Raw) -> None:
        found = read(event.code, event.data)
        if isinstance(found, ConnectionReport):
            self._reported(found)
        elif isinstance(found, Account):
            self._listener.paired(found)
        elif found is not None:
            self._listener.arrived(found)

    def _reported(self, status: ConnectionReport) -> None:
        if self._reconnecting is None or status.signal is not Signal.DISCONNECTED:
            self._signal(status)

    def _show_qr(self, code: str) -> None:
        if self.status.state in HELD_STATES:
            return
        now = datetime.now(UTC)
        if self._codes == 0:
            self.pairing_until = now + timedelta(seconds=FIRST_QR_SECONDS + (QR_CODES - 1) * NEXT_QR_SECONDS)
        seconds = NEXT_QR_SECONDS if self._codes else FIRST_QR_SECONDS
        self._codes += 1
        self._qr_expires = asyncio.get_running_loop().time() + seconds
        self.qr = Qr(code=code, expires_at=now + timedelta(seconds=seconds))
        self._signal(ConnectionReport(Signal.QR_SHOWN))
        self._listener.qr_shown(self.qr)

    def _pairing_ended(self, how: str) -> None:
        match how:
            case "success":
                self._codes = 0
                self._signal(ConnectionReport(Signal.PAIRED))
            case "timeout" if self.qr is not None and asyncio.get_running_loop().time() < self._qr_expires - 2:
                lost = "the connection was lost during pairing"
                self._signal(ConnectionReport(Signal.ATTEMPT_FAILED, "disconnected", lost))
            case "timeout":
                late = "the QR code was not scanned in time"
                self._signal(ConnectionReport(Signal.QR_EXPIRED, "pairing-expired", late))
            case "err-client-outdated":
                self._signal(OUTDATED)
            case "error":
                self._signal(ConnectionReport(Signal.QR_EXPIRED, "pairing-failed", "pairing failed"))
            case _:
                log.warning("pairing ended with an unknown result: %s", how)

    def _ended(self, error: str) -> None:
        if self._reconnecting is not None or self.status.state in HELD_STATES:
            return  # stopped by this runtime
        if is_session_error(error):
            self._listener.session_unreadable(error)
            return
        self._signal(failure_of(error))

    def _signal(self, status: ConnectionReport) -> None:
        before = self.status
        self.status, action = advance(before, status.signal, max_attempts=self._config().max_reconnect_attempts)
        fault = (
            Fault(code=status.code, message=shortened(status.message), at=datetime.now(UTC)) if status.code else None
        )
        if self.status != before and fault is not None:
            self.fault = fault
        if self.status.state is not before.state:
            self._enter(before.state)
        if self.status != before:
            self._listener.state_changed(self.status, fault)
        if action is not None:
            self._do(action)

    def _enter(self, before: ConnectionState) -> None:
        self.since = datetime.now(UTC)
        if self.status.state is not ConnectionState.PAIRING:
            self.qr = self.pairing_until = None
        if self.status.state is ConnectionState.ONLINE:
            self.fault = None
            self.reconnects += before is ConnectionState.RECONNECTING
        if self.status.state is not ConnectionState.DEAF:
            self._cancel()

    def _do(self, action: ConnectionAction) -> None:
        base_seconds = self._config().reconnect_base_delay_seconds
        match action:
            case ConnectionAction.AWAIT_LOGIN:
                self._await(LOGIN_SECONDS, Signal.ATTEMPT_FAILED, "login timed out")
            case ConnectionAction.AWAIT_QUICK_RETRY:
                self._await(backoff(1, base_seconds, self._uniform), Signal.QUICK_RETRY_FAILED, "still not connected")
            case ConnectionAction.RECONNECT_NOW:
                self._reconnect(0)
            case ConnectionAction.RECONNECT_LATER:
                self._reconnect(backoff(self.status.attempts, base_seconds, self._uniform))
            case ConnectionAction.HANG_UP:
                self._hanging_up = asyncio.create_task(self._stop_core())
            case ConnectionAction.DIAL:
                self._reconnecting = asyncio.create_task(self._dial_after(self._hanging_up))
            case ConnectionAction.DROP_SOCKET:
                if OutgoingSockets(self._own_port).drop() == 0:
                    nothing = "there was no connection to reset"
                    self._signal(ConnectionReport(Signal.DISCONNECTED, "disconnected", nothing))
            case ConnectionAction.RESTART:
                self._listener.restart_needed(Restart(attempts=self.status.attempts))
            case ConnectionAction.FAIL:
                self._cancel()
                self._listener.reconnect_failed(self.status.attempts)

    def _await(self, seconds: float, signal: Signal, message: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        status = ConnectionReport(signal, "connect-timeout", message)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._signal, status)

    def _reconnect(self, delay_seconds: float) -> None:
        self._cancel()
        self.next_attempt_at = datetime.now(UTC) + timedelta(seconds=delay_seconds)
        self._reconnecting = asyncio.create_task(self._reconnect_after(delay_seconds))

    async def _reconnect_after(self, delay_seconds: float) -> None:
        log.info("reconnecting in %.1f s (%d failed attempts)", delay_seconds, self.status.attempts)
        await asyncio.gather(self._stop_core(), asyncio.sleep(delay_seconds))
        self._dial_again()

    async def _dial_after(self, hanging_up: asyncio.Task[None] | None) -> None:
        if hanging_up is not None:
            await asyncio.wait([hanging_up])
        self._dial_again()

    def _dial_again(self) -> None:
        self._reconnecting = self.next_attempt_at = None
        if self._core.connecting or self._dials >= MAX_DIALS:  # neonize is stuck, as it is after a QR phase
            self._listener.restart_needed(Restart(attempts=self.status.attempts))
            return
        self._dials += 1
        self._core.connect(self._dial)
        self._await(LOGIN_SECONDS, Signal.ATTEMPT_FAILED, "login timed out")

    async def _stop_core(self, *, restarting: bool = False) -> None:
        """Stop the client on a thread of its own: the call blocks while the library is dialling."""
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()

        def stop() -> None:
            if restarting:
                self._core.disconnect()
            else:
                self._core.stop()
                self._core.wait_until_ended(STOP_SECONDS)
            loop.call_soon_threadsafe(stopped.set)

        threading.Thread(target=stop, name="whatsapp-stop", daemon=True).start()
        try:
            await asyncio.wait_for(stopped.wait(), STOP_SECONDS)
        except TimeoutError:
            log.info("the client did not stop in time")

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            self._reconnecting = self.next_attempt_at = None

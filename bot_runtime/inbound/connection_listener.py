"""What the connection reports: recorded as events, and passed on to the parts that depend on it."""

import logging
from collections.abc import Callable

from bot_runtime.contract import ConnectionState, EventType, ExitCode, Fault, Qr
from bot_runtime.credentials import Credentials
from bot_runtime.inbound.arrivals import Arrivals
from bot_runtime.inbound.connection_events import EventData, qr_events, state_events
from bot_runtime.inbound.group_events import GroupEvents
from bot_runtime.inbound.responder import Responder
from bot_runtime.lifecycle import Restart
from bot_runtime.outbound.send_log import SendLog
from bot_runtime.storage.spool import Spool
from bot_runtime.whatsapp.messages import Account, Arrival
from bot_runtime.whatsapp.state import ConnectionStatus
from bot_runtime.whatsapp.terminal import draw_qr

log = logging.getLogger(__name__)


class ConnectionListener:
    """The listener of the bot's connection (`whatsapp.connection.Listener`)."""

    def __init__(
        self,
        spool: Spool,
        credentials: Credentials,
        responder: Responder,
        arrivals: Arrivals,
        group_events: GroupEvents,
        send_log: SendLog,
        *,
        leave: Callable[[ExitCode], None],
        restart: Callable[[Restart], None],
    ) -> None:
        self._spool = spool
        self._credentials = credentials
        self._responder = responder
        self._arrivals = arrivals
        self._group_events = group_events
        self._send_log = send_log
        self._leave = leave
        self._restart = restart

    def state_changed(self, status: ConnectionStatus, fault: Fault | None) -> None:
        """Record and log the new state."""
        log.info("connection %s%s", status.state, f": {fault.message}" if fault else "")
        self._record(state_events(status.state, fault))
        if status.state is ConnectionState.ONLINE:
            self._went_online()
        elif status.state is ConnectionState.LOGGED_OUT:
            self._logged_out(fault)

    def qr_shown(self, qr: Qr) -> None:
        """Record a new QR code, and draw it into the log."""
        self._record(qr_events(qr))
        log.info("scan this QR code with the phone (Linked devices)\n%s", draw_qr(qr.code, qr.expires_at))

    def paired(self, account: Account) -> None:
        """A phone has linked this device to its account."""
        log.info("paired with %s", account.number)
        self._responder.paired()
        self._credentials.paired(account)

    def arrived(self, arrival: Arrival) -> None:
        """An arrival that is not in the journal."""
        self._responder.receiver.take(arrival)

    def journal_grew(self) -> None:
        """The journal has arrivals that are not recorded yet."""
        self._arrivals.take_in()

    def session_unreadable(self, error: str) -> None:
        """The session file is damaged: end the process."""
        log.error("the session cannot be used: %s", error)
        self._leave(ExitCode.SESSION_UNREADABLE)

    def reconnect_failed(self, attempts: int) -> None:
        """All attempts have failed: end the process."""
        self._spool.append(EventType.RECONNECT_FAILED, {"attempts": attempts})
        self._leave(ExitCode.RECONNECT_FAILED)

    def restart_needed(self, restart: Restart) -> None:
        """The library needs a new process."""
        self._restart(restart)

    def _went_online(self) -> None:
        self._credentials.refresh()
        self._spool.append(EventType.CONNECTED, {"phoneNumber": self._credentials.phone_number})
        self._credentials.notice_change()
        self._responder.connected()
        self._group_events.connected()

    def _logged_out(self, fault: Fault | None) -> None:
        self._credentials.end()
        self._arrivals.take_all()
        self._send_log.lose_evidence()
        self._group_events.logged_out()
        self._spool.append(EventType.LOGOUT, {"reason": fault.message if fault else ""})

    def _record(self, events: EventData) -> None:
        for event_type, data in events:
            self._spool.append(event_type, data)

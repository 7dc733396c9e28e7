"""One bot: what happens to its connection becomes events, and the calls of the endpoint become actions."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from bot_runtime.contract import (
    ConnectionState,
    EventType,
    ExitCode,
    Fault,
    Group,
    Health,
    PairCode,
    PairCodeRequest,
    Qr,
    RuntimeConfig,
    Secrets,
    SendRequest,
    SendResult,
    Stats,
)
from bot_runtime.credentials import Credentials
from bot_runtime.environment import Environment
from bot_runtime.errors import ApiError, wrong_state
from bot_runtime.files.downloads import Media, MediaFile
from bot_runtime.files.transfers import Transfers
from bot_runtime.files.uploads import Uploads
from bot_runtime.groups import Groups
from bot_runtime.inbound.arrivals import Arrivals
from bot_runtime.inbound.connection_events import Records, qr_records, state_records
from bot_runtime.inbound.group_events import GroupEvents
from bot_runtime.inbound.responder import Responder
from bot_runtime.outbound.recipients import Recipients
from bot_runtime.outbound.send_log import Outbox
from bot_runtime.outbound.sender import Sender
from bot_runtime.polls import Polls, Votes
from bot_runtime.reports import health_of, stats_of
from bot_runtime.storage.config import ConfigFile, StaleConfigError
from bot_runtime.storage.session import SessionDirectory
from bot_runtime.storage.spool import Spool
from bot_runtime.whatsapp.connection import Connection
from bot_runtime.whatsapp.core import Dial
from bot_runtime.whatsapp.gestures import Gestures
from bot_runtime.whatsapp.inbox import Inbox
from bot_runtime.whatsapp.jid import HIDDEN, PERSON, Address, parse_address, parse_number
from bot_runtime.whatsapp.messages import Account, Arrival, GroupChange, WhatsAppError
from bot_runtime.whatsapp.sockets import Outgoing
from bot_runtime.whatsapp.state import Link
from bot_runtime.whatsapp.terminal import draw_qr
from bot_runtime.whatsapp.transport import LibraryTransport
from bot_runtime.whatsapp.votes import open_vote

log = logging.getLogger(__name__)


class Bot:
    """The parts of one bot, and what `endpoint/routes.py` calls. Everything runs on the event loop."""

    def __init__(
        self,
        environment: Environment,
        directory: SessionDirectory,
        config: ConfigFile,
        store: sqlite3.Connection,
        inbox: Inbox,
        dial: Dial,
        account: Account | None,
        *,
        own_port: int,
        boot_id: str,
        started_at: datetime,
        attempts: int,
        leave: Callable[[ExitCode], None],
        restart: Callable[[int], None],
    ) -> None:
        self.environment = environment
        self._store = store
        self._core = inbox.core
        self.boot_id = boot_id
        self.started_at = started_at
        self._leave = leave
        self.restart_needed = restart
        self.config = config
        self.spool = Spool(store)
        transport = LibraryTransport(self._core, directory.database)
        transfers = Transfers(Outgoing(own_port))
        self._outbox = Outbox(store)
        polls = Polls(store)
        self.uploads = Uploads(directory.files)
        self.media = Media(store, directory.files, transport, transfers)
        self.groups = Groups(transport)
        recipients = Recipients(own=self._own_address, recall=self._recall)
        self.sender = Sender(
            self._outbox, self.uploads, transport, transfers, recipients, polls, config=lambda: config.current
        )
        self.connection = Connection(
            inbox, dial, listener=self, config=lambda: config.current, own_port=own_port, attempts=attempts
        )
        self.last_heartbeat: datetime | None = None
        self.credentials = Credentials(directory.database, store, self.spool, account)
        self._group_events = GroupEvents(self.groups, self.spool)
        self.responder = Responder(
            bot_id=environment.bot_id,
            config=config,
            store=store,
            spool=self.spool,
            gestures=Gestures(self._core),
            votes=Votes(polls, partial(open_vote, self._core)),
            reply=self.sender.reply,
            keep_media=self.media.keep,
            health=self.health,
            account=lambda: self.credentials.account,
            group_changed=self._group_changed,
        )
        self._arrivals = Arrivals(inbox.journal, store, self.spool, self.arrived)

    def start(self) -> None:
        """Take over the connection, which has been started before."""
        self.connection.attach()

    async def close(self) -> None:
        """Disconnect and close the files."""
        self.responder.close()
        self._group_events.close()
        await self.connection.close()
        self._arrivals.close()
        self._store.close()

    # What the connection reports

    @property
    def busy(self) -> bool:
        """Whether anything is under way that a new connection would disturb."""
        return self.sender.busy or self.media.busy or self.responder.receiver.busy

    def state_changed(self, link: Link, fault: Fault | None) -> None:
        """Record it as events, and log one line."""
        log.info("connection %s%s", link.state, f": {fault.message}" if fault else "")
        self._record(state_records(link.state, fault))
        if link.state is ConnectionState.ONLINE:
            self.credentials.refresh()
            self.spool.append(EventType.CONNECTED, {"phoneNumber": self.credentials.phone_number})
            self.credentials.notice_change()
            self.responder.connected()
            self._group_events.connected()
        elif link.state is ConnectionState.LOGGED_OUT:
            self._arrivals.take_all()
            self._outbox.lose_evidence()
            self.credentials.forget()
            self.spool.append(EventType.LOGOUT, {"reason": fault.message if fault else ""})

    def qr_shown(self, qr: Qr) -> None:
        """Record a new QR code, and draw it into the log."""
        self._record(qr_records(qr))
        log.info("scan this QR code with the phone (Linked devices)\n%s", draw_qr(qr.code, qr.expires_at))

    def paired(self, account: Account) -> None:
        """Remember whose session it is from now on."""
        log.info("paired with %s", account.number)
        self.responder.paired()
        self.credentials.paired(account)

    def arrived(self, arrival: Arrival) -> None:
        """Take in what others did."""
        self.responder.receiver.take(arrival)

    def more_kept(self) -> None:
        """Take in what the journal has."""
        self._arrivals.take_in()

    def session_unreadable(self, error: str) -> None:
        log.error("the session cannot be used: %s", error)
        self._leave(ExitCode.SESSION_UNREADABLE)

    def gave_up(self, attempts: int) -> None:
        self.spool.append(EventType.RECONNECT_FAILED, {"attempts": attempts})
        self._leave(ExitCode.RECONNECT_FAILED)

    # What the endpoint asks for

    def health(self) -> Health:
        return health_of(self)

    def qr(self) -> Qr:
        if self.connection.qr is None:
            raise wrong_state(f"no QR code is shown: the connection is {self.connection.link.state}")
        return self.connection.qr

    async def pair_code(self, request: PairCodeRequest) -> PairCode:
        try:
            number = parse_number(request.phone_number)
        except ValueError as error:
            raise ApiError(400, "bad-phone-number", str(error)) from error
        until = self.connection.pairing_until
        if self.connection.link.state is not ConnectionState.PAIRING or until is None:
            raise wrong_state(f"the bot is not waiting for a phone: the connection is {self.connection.link.state}")
        try:
            return PairCode(code=await self._in_time(self._pair_code_blocking, number), expires_at=until)
        except WhatsAppError as error:
            raise ApiError(502, "pair-code-failed", f"WhatsApp gave no code: {error}") from error

    def configure(self, config: RuntimeConfig) -> RuntimeConfig:
        try:
            return self.responder.configure(config)
        except StaleConfigError as error:
            raise ApiError(409, "stale-generation", str(error)) from error

    async def send(self, request: SendRequest) -> SendResult:
        if not self.sender.known(request.client_id):
            self._check_online()
        return await self.sender.send(request)

    async def open_media(self, message_id: str) -> MediaFile:
        self.media.reference(message_id)
        self._check_online()
        return await self.media.open(message_id)

    async def list_groups(self) -> list[Group]:
        self._check_online()
        return await self.groups.snapshot()

    async def group(self, group_id: str) -> Group:
        try:
            address = parse_address(group_id)
        except ValueError as error:
            raise ApiError(400, "bad-group", str(error)) from error
        if not address.is_group:
            raise ApiError(400, "bad-group", "not the id of a group: expected digits@g.us")
        self._check_online()
        return await self.groups.info(address)

    async def reset(self) -> Health:
        if self.connection.link.state is ConnectionState.LOGGED_OUT:
            await self.credentials.wait_until_gone()
        self.connection.reset()
        return self.health()

    async def logout(self) -> Health:
        if self.credentials.account is None:
            raise wrong_state("no session is present")
        if self.connection.link.state is not ConnectionState.ONLINE:
            raise wrong_state(f"logging out needs WhatsApp: the connection is {self.connection.link.state}")
        error = await self._in_time(self._core.logout)
        if error:
            raise ApiError(502, "logout-failed", f"WhatsApp did not log the bot out: {error}")
        self.connection.logged_out()
        return self.health()

    def use_secrets(self, secrets: Secrets) -> None:
        self.responder.use_secrets(secrets)

    def stats(self) -> Stats:
        return stats_of(self)

    def _group_changed(self, change: GroupChange) -> None:
        account = self.credentials.account
        names = ((account.number, PERSON), (account.lid, HIDDEN)) if account else ()
        self._group_events.changed(change, frozenset(Address(user, server) for user, server in names if user))

    def _record(self, records: Records) -> None:
        for event_type, data in records:
            self.spool.append(event_type, data)

    def _check_online(self) -> None:
        if self.connection.link.state is not ConnectionState.ONLINE:
            raise wrong_state(f"the bot is not online: the connection is {self.connection.link.state}")

    def _own_address(self) -> Address | None:
        number = self.credentials.phone_number
        return Address(number, PERSON) if number else None

    def _recall(self, message_id: str) -> str:
        message = self.responder.recent.find(message_id)
        return message.text if message else ""

    def _pair_code_blocking(self, number: str) -> str:
        from bot_runtime.whatsapp import encode

        return encode.pair_code(self._core.pair_phone(encode.pair_phone_parameters(number)))

    async def _in_time(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await asyncio.wait_for(asyncio.to_thread(call, *arguments), 30)
        except TimeoutError:
            raise ApiError(504, "timeout", "WhatsApp has not answered") from None

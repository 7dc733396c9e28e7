"""Assembles how a bot reacts to messages: the pipeline, the commands and the hooks."""

import logging
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime

from bot_runtime.commands.runner import CommandRunner
from bot_runtime.contract import RuntimeConfig, Secrets
from bot_runtime.hooks.answer_gate import AnswerGate
from bot_runtime.hooks.channels import ChannelReactions
from bot_runtime.hooks.chatgpt import LanguageModel
from bot_runtime.hooks.privacy import AntiDelete, AntiViewOnce
from bot_runtime.hooks.statuses import AutoView, Viewed
from bot_runtime.inbound.own_presence import OwnPresence
from bot_runtime.inbound.queues import ChatQueues
from bot_runtime.inbound.receiver import KeepMedia, Receiver
from bot_runtime.inbound.recent import Recent
from bot_runtime.inbound.replies import Forward, Replies, Reply
from bot_runtime.inbound.settings_host import SettingsHost
from bot_runtime.polls import Votes
from bot_runtime.storage.spool import Spool
from bot_runtime.storage.sqlite import get_meta, set_meta
from bot_runtime.web.threads import WebThreads
from bot_runtime.whatsapp.gestures import Gestures
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import Account, GroupChange, Incoming

log = logging.getLogger(__name__)

_WEB_THREADS = 8
_PAIRED_AT = "paired_at"


class Responder:
    """Everything that happens with arrivals. `receiver` records them; the other parts count what they did."""

    def __init__(
        self,
        *,
        bot_id: str,
        host: SettingsHost,
        store: sqlite3.Connection,
        spool: Spool,
        recent: Recent,
        gestures: Gestures,
        votes: Votes,
        reply: Reply,
        forward: Forward,
        keep_media: KeepMedia,
        account: Callable[[], Account | None],
        group_changed: Callable[[GroupChange], None],
        group_seen: Callable[[Address], None],
    ) -> None:
        self._host = host
        self._store = store
        self._account = account
        self._replies = Replies(reply, forward, spool)
        self.presence = OwnPresence(gestures)
        stored = get_meta(store, _PAIRED_AT)
        self._paired_at = datetime.fromtimestamp(float(stored), UTC) if stored else None
        gate = AnswerGate(self._settings, self._replies.send, spool)
        self.model = LanguageModel(
            self._settings,
            self._replies.send,
            self.presence.show_typing,
            self._is_mentioned,
            WebThreads(_WEB_THREADS),
            gate,
        )
        self.auto_view = AutoView(self._settings, gestures, Viewed(store))
        anti_delete = AntiDelete(
            self._settings, self._replies.send, self._replies.forward, self._own_number, gate, recent.find
        )
        anti_view_once = AntiViewOnce(self._settings, self._replies.send, self._replies.forward, self._own_number, gate)
        self.commands = CommandRunner(
            host,
            bot_id=bot_id,
            reply=self._replies.send,
            show_typing=self.presence.show_typing,
            cached=lambda: len(self.receiver.seen),
            web=WebThreads(_WEB_THREADS),
            allows=gate.allows,
        )
        self.receiver = Receiver(
            spool,
            recent,
            (
                self.commands,
                self.model,
                self.auto_view,
                anti_delete,
                anti_view_once,
                ChannelReactions(self._settings, gestures),
            ),
            group_changed=group_changed,
            group_seen=group_seen,
            details=lambda message: {**anti_delete.details(message), **votes.details(message)},
            keep_media=keep_media,
            keep_files=lambda: host.settings.anti_delete,
            paired_at=lambda: self._paired_at,
            queues=ChatQueues(held=True),
        )

    def use_secrets(self, secrets: Secrets) -> None:
        """Use these secrets from now on. They are never written to disk."""
        self.model.use_secrets(secrets)

    def paired(self) -> None:
        """A phone has just been paired: messages sent before are not for this bot."""
        self._paired_at = self.receiver.clock.now()
        try:
            set_meta(self._store, _PAIRED_AT, str(self._paired_at.timestamp()))
        except sqlite3.OperationalError as exc:  # a full disk: old messages arrive only right after pairing
            log.warning("the time of the pairing could not be stored: %s", exc)

    def connected(self) -> None:
        """A new connection is online."""
        self.presence.connected()
        self._replies.connected()
        self.receiver.connected()

    def close(self) -> None:
        """Cancel the handlers."""
        self.receiver.close()

    def _settings(self) -> RuntimeConfig:
        return self._host.settings

    def _own_number(self) -> str | None:
        account = self._account()
        return account.number if account else None

    def _is_mentioned(self, message: Incoming) -> bool:
        account = self._account()
        if account is None:
            return False
        own = {f"{account.number}@s.whatsapp.net", f"{account.lid}@lid"}
        quoted = message.content.details.get("quoted", {}).get("sender", "")
        return not own.isdisjoint((*message.content.mentions, quoted))

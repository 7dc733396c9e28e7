"""Whose session a volume holds, and when it may be removed. Pure.

The volume's own labels decide, not what the database remembers: rows may be lost, deleted by hand, or restored from an
older backup, and none of that may cost a session.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from orchestrator.db.models import Bot
from orchestrator.engine.base import Label, ObservedVolume


def volume_labels(bot: Bot) -> dict[str, str]:
    """The labels of a volume that is created for the bot's present session."""
    if not bot.uid:
        return {Label.SESSION_SINCE: _text(bot.session_since)}
    return {Label.BOT_UID: bot.uid, Label.SESSION_SINCE: _text(bot.session_since)}


def is_owner(labels: Mapping[str, str], *, bot_id: str, uid: str) -> bool:
    """Whether the volume with these labels belongs to this bot, not to an earlier one with the same id."""
    return labels.get(Label.BOT_ID) == bot_id and labels.get(Label.BOT_UID, "") == uid


def is_former_session(bot: Bot, labels: Mapping[str, str]) -> bool:
    """Whether the bot's volume was created before its present session was requested, so that a request to reset the
    session applies to it. In a restored database, an old request may still look unfulfilled."""
    try:
        since = datetime.fromisoformat(labels[Label.SESSION_SINCE])
    except (KeyError, ValueError):
        return True
    return since < bot.session_since


def orphaned(volumes: Iterable[ObservedVolume], uids: Mapping[str, str]) -> list[ObservedVolume]:
    """The volumes that belong to none of the server's bots; `uids` holds each bot's uid by its id."""
    found = []
    for volume in volumes:
        bot_id = volume.labels.get(Label.BOT_ID, "")
        if bot_id not in uids or not is_owner(volume.labels, bot_id=bot_id, uid=uids[bot_id]):
            found.append(volume)
    return found


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()

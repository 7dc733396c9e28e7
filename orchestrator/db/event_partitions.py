"""The partitions of `bot_events`: consecutive ranges of time, and a default one for all other timestamps.

Expired events are removed by dropping their partition, which takes milliseconds and leaves nothing to vacuum. The
default partition has the events of bots whose clocks are wrong, and any for which no range exists; it works like the
others, only its events have to be deleted row by row.

All changes need locks that readers and writers of events hold as well. They wait for them only briefly, because
whoever comes next waits behind them, and are attempted again later.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_fixed

log = logging.getLogger(__name__)

Transaction = Callable[[], AbstractAsyncContextManager[AsyncSession]]
"""A session that is committed at the end of the block."""

DEFAULT = "bot_events_default"
AHEAD = timedelta(days=3)
"""How far the ranges reach beyond today."""
RANGES_PER_RETENTION = 30
"""More would slow down the planning of every query, with a long retention."""
MOVED_AT_MOST = 10_000
"""Events that are moved from the default partition when a new range covers them; they are locked meanwhile."""

LOCK_TIMEOUT_MS = 1_000
ATTEMPTS = 5
RETRY_SECONDS = 1.0

_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('botdock event partitions', 0))")
_LIST = text(r"""
    SELECT pg_class.relname AS name,
        substring(bound FROM 'FROM \(''([^'']+)''\)')::timestamptz AS starts_at,
        substring(bound FROM 'TO \(''([^'']+)''\)')::timestamptz AS ends_at
    FROM pg_inherits
    JOIN pg_class ON pg_class.oid = inhrelid
    CROSS JOIN pg_get_expr(relpartbound, pg_class.oid) AS bound
    WHERE inhparent = 'bot_events'::regclass
    ORDER BY ends_at NULLS LAST
""")
_SHARED_CUTOFF = text("""
    SELECT now() - make_interval(days => greatest(CAST(:days AS integer), max(coalesce(event_retention_days, 36500))))
    FROM servers WHERE EXISTS (SELECT FROM bots WHERE bots.server_name = servers.name)
""")
_IN_DEFAULT = text(f"""
    SELECT count(*) FROM (
        SELECT FROM {DEFAULT} WHERE timestamp >= :starts_at AND timestamp < :ends_at LIMIT {MOVED_AT_MOST + 1}
    ) AS found
""")  # noqa: S608 - constants

DELETE_EXPIRED = """
    DELETE FROM "{name}" WHERE id = ANY(ARRAY(
        SELECT expired.id FROM bots CROSS JOIN LATERAL (
            SELECT id FROM "{name}" WHERE bot_key = bots.key AND server_name = bots.server_name
                AND id < coalesce((SELECT id FROM (
                    SELECT id, timestamp FROM "{name}" WHERE bot_key = bots.key AND server_name = bots.server_name
                    ORDER BY id LIMIT :batch
                ) AS oldest WHERE timestamp >= :cutoff LIMIT 1), 9223372036854775807)
            ORDER BY id LIMIT :batch
        ) AS expired
        WHERE bots.server_name = :server LIMIT :batch
    ))
"""
"""Goes through the events of each bot by id, in the index for that, up to the first one that has not expired; one that
is dated earlier than those before it expires with them. In the index of timestamps, all events of servers with a longer
retention come first."""


@dataclass(frozen=True, slots=True)
class Range:
    """A range of time: from `starts_at`, before `ends_at`."""

    starts_at: datetime
    ends_at: datetime

    @property
    def name(self) -> str:
        """The name of its partition."""
        return f"bot_events_{self.starts_at:%Y%m%d}"


@dataclass(frozen=True, slots=True)
class Partition:
    """An existing partition."""

    name: str
    starts_at: datetime | None
    """None: without a lower bound (the events from before there were partitions), or the default partition."""
    ends_at: datetime | None
    """None: the default partition."""

    def has_expired(self, cutoff: datetime) -> bool:
        """Whether all its events are older than `cutoff`."""
        return self.ends_at is not None and self.ends_at <= cutoff

    def may_have_expired_rows(self, cutoff: datetime, *, retention_days: int) -> bool:
        """Whether events older than `cutoff` are deleted from it row by row.

        Not from a range of the usual width, which will expire as a whole soon. One that was created for a longer
        retention, or for that of another server, may be wider.
        """
        return self.starts_at is None or self.starts_at + width(retention_days) <= cutoff


def width(retention_days: int) -> timedelta:
    """How much time a range covers."""
    return timedelta(days=max(1, retention_days // RANGES_PER_RETENTION))


def ranges_ahead(existing: Sequence[Partition], *, now: datetime, retention_days: int) -> Iterator[Range]:
    """The ranges to create so that they reach AHEAD beyond today, in order."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    start = max([today, *(partition.ends_at for partition in existing if partition.ends_at is not None)])
    while start <= today + AHEAD:
        yield Range(start, start + width(retention_days))
        start += width(retention_days)


async def existing(session: AsyncSession) -> list[Partition]:
    """All partitions, oldest first, the default one last."""
    return [Partition(*row) for row in await session.execute(_LIST)]


async def maintain(transaction: Transaction, *, retention_days: int) -> None:
    """Create the ranges ahead, and drop those whose events have expired on every server.

    `retention_days` is the retention of the caller's server. If the locks are unavailable, it is left to the next call.
    """
    attempts = AsyncRetrying(
        retry=retry_if_exception(_is_lock_failure),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_fixed(RETRY_SECONDS),
        reraise=True,
    )
    try:
        await attempts(_maintain, transaction, retention_days)
    except DBAPIError as exc:
        # Events are stored in the default partition and deleted row by row meanwhile.
        log.warning("the partitions of bot_events were not maintained: %s", type(exc.orig).__name__)


async def _maintain(transaction: Transaction, retention_days: int) -> None:
    created: Range | None
    dropped: Partition | None
    while True:
        async with transaction() as session:
            created = await create_next(session, retention_days=retention_days)
        if created is None:
            break
    while True:
        async with transaction() as session:
            dropped = await drop_oldest(session, retention_days=retention_days)
        if dropped is None:
            break
        log.info("deleted the events before %s", dropped.ends_at)


def _is_lock_failure(exc: BaseException) -> bool:
    locks = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
    return isinstance(exc, DBAPIError) and isinstance(exc.orig, locks)


async def create_next(session: AsyncSession, *, retention_days: int) -> Range | None:
    """Create the next range ahead, if one is missing, and take over what the default partition has of it.

    A range of which the default partition has too many events is skipped: they stay there. The caller commits.
    """
    await session.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
    await session.execute(_ONE_AT_A_TIME)
    now: datetime = (await session.execute(text("SELECT now()"))).scalar_one()
    for candidate in ranges_ahead(await existing(session), now=now, retention_days=retention_days):
        bounds = {"starts_at": candidate.starts_at, "ends_at": candidate.ends_at}
        # Before they are counted, so that no more are added.
        await session.execute(text(f"LOCK TABLE {DEFAULT} IN ACCESS EXCLUSIVE MODE"))
        if (await session.execute(_IN_DEFAULT, bounds)).scalar_one() <= MOVED_AT_MOST:
            for statement in _creation(candidate):
                await session.execute(text(statement))
            return candidate
    return None


def _creation(new: Range) -> list[str]:
    """Attached rather than created as a partition, which would lock out everyone who reads events."""
    starts_at, ends_at = f"'{new.starts_at.isoformat()}'", f"'{new.ends_at.isoformat()}'"
    covered = f"timestamp >= {starts_at} AND timestamp < {ends_at}"
    moved = f"WITH moved AS (DELETE FROM {DEFAULT} WHERE {covered} RETURNING *)"  # noqa: S608 - no input
    return [
        f"CREATE TABLE {new.name} (LIKE bot_events INCLUDING DEFAULTS INCLUDING INDEXES)",
        f"{moved} INSERT INTO {new.name} SELECT * FROM moved",  # noqa: S608 - no input
        f"ALTER TABLE bot_events ATTACH PARTITION {new.name} FOR VALUES FROM ({starts_at}) TO ({ends_at})",
    ]


async def drop_oldest(session: AsyncSession, *, retention_days: int) -> Partition | None:
    """Drop the oldest partition, if the events in it have expired on every server that has bots. The caller commits.

    A server whose leader has not stored its retention yet keeps all of them.
    """
    cutoff: datetime = (await session.execute(_SHARED_CUTOFF, {"days": retention_days})).scalar_one()
    for partition in await existing(session):
        if partition.has_expired(cutoff):
            await session.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
            await session.execute(text(f'DROP TABLE IF EXISTS "{partition.name}"'))
            return partition
    return None


async def delete_expired(
    transaction: Transaction, partition: Partition, *, server: str, cutoff: datetime, batch: int
) -> int:
    """Delete the events of a server from before `cutoff` row by row, `batch` in a transaction; returns how many."""
    statement = text(DELETE_EXPIRED.format(name=partition.name))
    values = {"server": server, "cutoff": cutoff, "batch": batch}
    deleted = 0
    while True:
        async with transaction() as session:
            number = int(getattr(await session.execute(statement, values), "rowcount", 0))
        if not number:
            return deleted
        deleted += number

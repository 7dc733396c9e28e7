"""The tables. Every row that belongs to a server has its `server_name`, and every access is filtered by it.

`bots` holds the desired state (written by the api, or by any program with SQL), `bot_status` the observed state
(written by the leader alone, fenced by its epoch). Triggers on `bots` (see the first migration) create the status row,
increase `generation` with every change of the specification, and notify `botdock_bots` (payload `{server}/{bot}`), so
that a change takes effect at once, whatever its source. Status writes do not notify.

An id names a bot within its server; two servers may each have a bot with the same id. Within Postgres, a bot is
identified by `bots.key`, which every other table refers to as `bot_key`, and which no caller ever sees.
"""

from datetime import datetime
from typing import Any, NewType

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from orchestrator.db.columns import counter, created, json_object, timestamp
from orchestrator.db.keys import new_runtime_token, new_uid
from orchestrator.states import Approval, DesiredState, EventSource, Phase

CHANGES_CHANNEL = "botdock_bots"
MESSAGES_CHANNEL = "botdock_messages"
NEXT_CONFIG_GENERATION = "nextval('botdock_config_generation')"
EVERYTHING = "*"
"""Payload that requests a sweep from every controller."""
RANDOM_TOKEN = "replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')"  # noqa: S105 - generates one
NEXT_BOT_KEY = "'#' || nextval('botdock_bot_key')"

BotKey = NewType("BotKey", str)
"""Identifies a bot, whatever its server: `#` and a number, never used again after the bot is deleted.

The key of a bot that was created when ids were unique in the database is its id, which cannot contain a `#`."""


def _fk_bot(*, primary_key: bool = False) -> Any:
    return Column(String, ForeignKey("bots.key", ondelete="CASCADE"), nullable=False, primary_key=primary_key)


class Installation(SQLModel, table=True):
    """One row: the id of this installation on a shared engine (label `botdock.owner`)."""

    __tablename__ = "installation"

    id: str = Field(primary_key=True)
    created_at: datetime = created()


class Server(SQLModel, table=True):
    """A tenant and placement unit; it has one leader at a time."""

    __tablename__ = "servers"

    name: str = Field(primary_key=True)
    max_bots: int
    controller: str | None = None
    """`host:port` of the leader's HTTP port."""
    controller_seen_at: datetime | None = timestamp()
    controller_settings: dict[str, str] = json_object()
    """Digests of the leader's settings by name (`controller/settings_summary.py`)."""
    engine_id: str | None = None
    """The engine that holds the sessions of its bots: only a controller on that engine becomes the leader."""
    event_retention_days: int | None = None
    """How long its leader stores events; None before the first one has reported it (`db/event_partitions.py`)."""
    refused_engine_id: str | None = None
    """The engine of the last controller that did not become the leader because the server is bound to another one."""
    refused_at: datetime | None = timestamp()
    """When that controller last reported."""
    created_at: datetime = created()


class LeaseRow(SQLModel, table=True):
    """Which controller leads a server, and until when unless it renews the lease (`db/leases.py`)."""

    __tablename__ = "leases"
    # Makes the epoch a key column: a takeover waits for fenced writes (FOR KEY SHARE), a renewal does not.
    __table_args__ = (UniqueConstraint("server_name", "epoch"),)

    server_name: str = Field(primary_key=True, foreign_key="servers.name", ondelete="CASCADE")
    owner: str
    """Host, process id and a random part: unique for each process."""
    epoch: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Increased by each takeover; writes with an older epoch are rejected."""
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    """By Postgres' clock."""


class Bot(SQLModel, table=True):
    """The desired state of one bot."""

    __tablename__ = "bots"
    __table_args__ = (
        UniqueConstraint("server_name", "id", name="bots_server_id"),
        Index("bots_id_server", "id", "server_name"),
    )

    key: BotKey = Field(
        default=BotKey(""), sa_column=Column(String, primary_key=True, server_default=text(NEXT_BOT_KEY))
    )
    """Set by Postgres when the row is inserted."""
    id: str
    """Unique on its server."""
    server_name: str = Field(foreign_key="servers.name")
    resource_name: str = Field(default="", sa_column=Column(String, nullable=False))
    """The name of its container and of its volume, set by a trigger when the row is inserted: `botdock-{server}-{id}`,
    or `botdock-{server}.{id}` if the name of the server has a hyphen. Otherwise the bot `c` of the server `a-b` and the
    bot `b-c` of the server `a` would have the same name. Bots of versions without this column have no dot in it."""
    name: str
    phone_number: str | None = None
    """Digits only, as the operator entered it; the paired number is in the status."""
    kind: str = Field(default="standard", sa_column_kwargs={"server_default": "standard"})
    approval_status: str = Field(
        default=Approval.PENDING, sa_column=Column(Text, nullable=False, server_default=Approval.PENDING)
    )
    desired_state: str = Field(
        default=DesiredState.RUNNING, sa_column=Column(Text, nullable=False, server_default=DesiredState.RUNNING)
    )
    settings: dict[str, Any] = json_object()
    """Overrides of `RuntimeConfig` fields (camelCase): applied live, no restart."""
    limits: dict[str, Any] = json_object()
    """`memoryBytes`, `cpus`, `pids`: a change replaces the container."""
    generation: int = Field(default=1, sa_column=Column(BigInteger, nullable=False, server_default=text("1")))
    """Increased with every change of the specification; clears the restart history."""
    restart_generation: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    """Increased with every requested restart."""
    session_generation: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    """Increased when a new session is requested; the volume is removed before the next start."""
    session_since: datetime = created()
    """When the present session was requested; set by a trigger. A volume of this session is never removed for it."""
    uid: str = Field(default_factory=new_uid, sa_column_kwargs={"server_default": text("gen_random_uuid()::text")})
    """Tells this bot from an earlier one with the same id, whose volume may still exist; empty for bots of versions
    without it, whose volumes have no such label."""
    config_generation: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default=text(NEXT_CONFIG_GENERATION))
    )
    """Increased with every change of what `PUT /config` carries: name, settings, and the bot's commands."""
    runtime_token: str = Field(
        default_factory=new_runtime_token, sa_column_kwargs={"server_default": text(RANDOM_TOKEN)}
    )
    """Bearer token of the bot's HTTP endpoint. Never in a response, a log or another container."""
    deleting: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    """Deletion was requested; the row is deleted once container and volume are gone."""
    created_at: datetime = created()
    updated_at: datetime = created()


class BotStatus(SQLModel, table=True):
    """The observed state of one bot, as last written by the controller (see `Bot` for the desired state)."""

    __tablename__ = "bot_status"

    bot_key: BotKey = Field(sa_column=_fk_bot(primary_key=True))
    server_name: str = Field(index=True)
    epoch: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    phase: str = Field(default=Phase.PENDING, sa_column=Column(Text, nullable=False, server_default="pending"))
    reason: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """Stable code, such as `oom-killed`; empty if the phase says everything."""
    message: str = Field(default="", sa_column_kwargs={"server_default": ""})
    container_id: str | None = None
    container_name: str | None = None
    container_state: str | None = None
    """Docker's state of the container; None without one."""
    address: str | None = None
    """IP address in the bots' network."""
    healthy: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    connection: str | None = None
    """`ConnectionState` of the runtime."""
    paired_number: str | None = None
    """Digits only, of the paired WhatsApp account."""
    restarts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    last_exit: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB, nullable=True))
    """`{containerId, exitCode, oomKilled, reason, message, finishedAt, logs: [line]}`"""
    memory: dict[str, Any] = json_object()
    """What the controller remembers across restarts (`Remembered` in `orchestrator/reconcile/plan.py`)."""
    observed_generation: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    """The last `Bot.generation` that the controller has acted on."""
    connection_attempts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    event_history_size: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    started_at: datetime | None = timestamp()
    connected_at: datetime | None = timestamp()
    last_heartbeat: datetime | None = timestamp()
    last_activity: datetime | None = timestamp()
    creds_updated_at: datetime | None = timestamp()
    next_start_at: datetime | None = timestamp()
    spool_id: str | None = None
    spool_seq: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    """How far the runtime's spool has been stored in `bot_events`."""
    messages_received: int = counter()
    messages_sent: int = counter()
    """Through the outbox; a bot's own replies are not counted."""
    errors: int = counter()
    reconnections: int = counter()
    updated_at: datetime = created()


class BotEvent(SQLModel, table=True):
    """One entry of a bot's history, stored exactly once. Partitioned by time (`db/event_partitions.py`).

    Keys of a partitioned table have to include the timestamp, which is as much a part of an event as its number: it is
    set when the event happens, and is the same whenever the event is sent.
    """

    __tablename__ = "bot_events"
    __table_args__ = (
        UniqueConstraint("bot_key", "spool_id", "seq", "timestamp"),
        Index("bot_events_bot_key_id", "bot_key", "id"),
        {"postgresql_partition_by": "RANGE (timestamp)"},
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    server_name: str
    bot_key: BotKey = Field(sa_column=_fk_bot())
    spool_id: str | None = None
    """`controller-…` for the controller's own events, unique for each leader; None for those of versions without it."""
    seq: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    type: str
    data: dict[str, Any] = json_object()
    timestamp: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True, index=True))
    source: str = Field(default=EventSource.BOT, sa_column=Column(Text, nullable=False, server_default=EventSource.BOT))
    """An `EventSource`: an event of a bot says what the bot wants it to say."""


class ApiKey(SQLModel, table=True):
    """An API key. Only its hash is stored; the key itself is shown once."""

    __tablename__ = "api_keys"

    id: str = Field(primary_key=True)
    name: str
    role: str
    server_name: str | None = Field(default=None, foreign_key="servers.name")
    """None: all servers (admin only)."""
    key_hash: str = Field(unique=True)
    """SHA-256 in hex; keys carry 256 random bits, so a slow hash would add nothing."""
    created_at: datetime = created()
    revoked_at: datetime | None = timestamp()

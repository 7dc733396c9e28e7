"""The environment variables, limits and exit codes of a runtime."""

from enum import IntEnum, StrEnum

PORT = 8080
BOT_ID_PATTERN = r"^[a-z0-9][a-z0-9-]{0,47}$"
SERVER_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9-]{0,31}$"
AUTH_ROOT = "/auth"
"""The mount point of the volume. Files are in `/auth/{serverName}/bot_{botId}/`, directories have mode 0700."""

MAX_BODY_BYTES = 1 << 20
MAX_MEDIA_BYTES = 16 << 20
"""The maximum size of a file, in either direction."""
MAX_WAIT_SECONDS = 60.0


class Env(StrEnum):
    """The environment variables of a bot container. The token is its only secret."""

    BOT_ID = "BOTDOCK_BOT_ID"
    SERVER_NAME = "BOTDOCK_SERVER_NAME"
    TOKEN = "BOTDOCK_TOKEN"
    CONFIG = "BOTDOCK_CONFIG"
    """A `RuntimeConfig` in JSON for the first start; a stored configuration with the same or a higher generation takes
    precedence."""
    AUTH_ROOT = "BOTDOCK_AUTH_ROOT"
    """The mount point of the volume if it is not `/auth` (a runtime outside a container)."""
    PORT = "BOTDOCK_PORT"
    """The port of the HTTP endpoint if it is not 8080; 0 selects a free port and logs it."""


class ExitCode(IntEnum):
    """The exit codes of a runtime. Any other code is a crash."""

    STOPPED = 0
    INVALID_CONFIG = 64
    INTERNAL_ERROR = 70
    SESSION_IN_USE = 73
    """Another process holds `session.lock` on this volume."""
    DISK_FULL = 74
    """The volume is so full that the bot cannot start."""
    RECONNECT_FAILED = 75
    """WhatsApp could not be reached in `max_reconnect_attempts` attempts."""
    SESSION_UNREADABLE = 78
    """The session file is corrupt or has an unknown version."""

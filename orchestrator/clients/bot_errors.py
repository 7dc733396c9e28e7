"""What calls of a bot's endpoint raise.

RuntimeCallError             the bot answered with an error; `status`, the contract's `code` and `retry_after_ms`
RuntimeUnreachableError      no answer: refused, reset, or not in time
└── ProtocolViolationError   it answered what the contract does not allow: it is compromised, or of another version
"""

MAX_MESSAGE_CHARACTERS = 300


class RuntimeUnreachableError(Exception):
    """The bot's endpoint did not respond."""


class ProtocolViolationError(RuntimeUnreachableError):
    """The bot's endpoint responded with something that is not within the limits of the contract."""

    def __init__(self, message: str) -> None:
        # It may quote the bot.
        text = message if len(message) <= MAX_MESSAGE_CHARACTERS else message[:MAX_MESSAGE_CHARACTERS] + "…"
        super().__init__("".join(char if char.isprintable() else "\ufffd" for char in text))


class RuntimeCallError(Exception):
    """The bot's endpoint responded with an error."""

    def __init__(self, status: int, code: str, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms

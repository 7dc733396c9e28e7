"""`.typing`: typing is shown while a command works."""

from bot_runtime.commanding.switches import switch

COMMAND = switch("typing", "typing", "typing is shown while a command works")

"""`.typing`: typing is shown while the bot works on an answer."""

from bot_runtime.commands.switches import switch

COMMAND = switch("typing", "typing", "typing is shown while the bot works on an answer")

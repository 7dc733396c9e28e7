"""`.typing`: show "typing" while the bot prepares an answer."""

from bot_runtime.commands.switches import switch

COMMAND = switch("typing", "typing", "typing is shown while the bot prepares an answer")

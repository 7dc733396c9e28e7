"""`.antidelete`: forward deleted messages to the owner."""

from bot_runtime.commands.switches import switch

COMMAND = switch("antidelete", "anti_delete", "deleted messages are forwarded to the owner")

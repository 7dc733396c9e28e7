"""`.antiviewonce`: forward view-once messages to the owner."""

from bot_runtime.commands.switches import switch

COMMAND = switch("antiviewonce", "anti_view_once", "view-once messages are forwarded to the owner")

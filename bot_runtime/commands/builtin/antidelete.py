"""`.antidelete`: messages that their sender deletes are shown to the owner."""

from bot_runtime.commands.switches import switch

COMMAND = switch("antidelete", "anti_delete", "messages that their sender deletes are shown to the owner")

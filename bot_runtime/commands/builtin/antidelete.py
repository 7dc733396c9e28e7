"""`.antidelete`: messages that their sender deletes are shown to the owner."""

from bot_runtime.commanding.switches import switch

COMMAND = switch("antidelete", "anti_delete", "messages that their sender deletes are shown to the owner")

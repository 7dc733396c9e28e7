"""`.autoview`: mark statuses of contacts as viewed."""

from bot_runtime.commands.switches import switch

COMMAND = switch("autoview", "auto_view", "statuses of contacts are marked as viewed")

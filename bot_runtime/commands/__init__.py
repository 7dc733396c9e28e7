"""How commands are found, guarded and run. The commands themselves are in `bot_runtime/commands`."""

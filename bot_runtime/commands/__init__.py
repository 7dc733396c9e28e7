"""How commands are found, guarded and run. The built-in ones are in `bot_runtime/commands/builtin`."""

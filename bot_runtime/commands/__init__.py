"""Finds, locks and runs commands. The built-in ones are in `bot_runtime/commands/builtin/`."""

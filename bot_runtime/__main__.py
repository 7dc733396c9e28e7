"""`python -m bot_runtime`: the process in every bot container."""

import os

from bot_runtime.lifecycle import block_stop_signals

block_stop_signals()

from bot_runtime.main import run  # noqa: E402 - the signals first: importing takes long enough for one to come

code = run()
# Not sys.exit: threads may be inside Go, and an interpreter that shuts down under them crashes.
os._exit(code)

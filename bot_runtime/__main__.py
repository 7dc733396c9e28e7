"""`python -m bot_runtime`: the process in every bot container."""

import os

from bot_runtime.lifecycle import block_stop_signals

block_stop_signals()

from bot_runtime.main import run  # noqa: E402 - signals first: one may arrive while the rest is imported

code = run()
# Not sys.exit: threads may be inside Go, and the interpreter crashes when it shuts down under them.
os._exit(code)

"""The built-in commands: one module each, which defines `COMMAND`. Adding a module here adds a command.

They are imported when the first message looks like a command.
"""

from functools import cache
from importlib import import_module

from bot_runtime.commands.base import Command


@cache
def built_in() -> dict[str, Command]:
    """All built-in commands by name."""
    from pkgutil import iter_modules

    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return {module.COMMAND.name: module.COMMAND for module in modules}

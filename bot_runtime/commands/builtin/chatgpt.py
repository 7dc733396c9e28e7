"""`.chatgpt`: answers by a language model.

Neither the API key nor the base URL can be set from a chat: whoever could change the URL would receive the key.
"""

import msgspec

from bot_runtime.commands.base import Command, CommandError, Invocation
from bot_runtime.commands.switches import on_or_off

_SETTABLE = {"model": "model", "prompt": "system_prompt", "memory": "memory_messages"}


async def chatgpt(invocation: Invocation) -> str:
    """Show the settings, switch them on or off, or change one."""
    settings = invocation.host.settings.chatgpt
    word, _, rest = invocation.args.partition(" ")
    if word.lower() == "set":
        name, _, value = rest.strip().partition(" ")
        settings = msgspec.structs.replace(settings, **_part(name.lower(), value.strip()))
    elif word:
        settings = msgspec.structs.replace(settings, enabled=on_or_off(invocation.args))
    if word:
        settings = invocation.host.change_settings(chatgpt=settings).chatgpt
    return (
        f"chatgpt is {'on' if settings.enabled else 'off'}\nModel: {settings.model}\n"
        f"Memory: {settings.memory_messages} messages\nPrompt: {settings.system_prompt or '–'}"
    )


def _part(name: str, value: str) -> dict[str, object]:
    field = _SETTABLE.get(name)
    if field is None or (not value and field != "system_prompt"):
        raise CommandError("Expected one of: set model NAME, set prompt TEXT, set memory MESSAGES.")
    if field != "memory_messages":
        return {field: value}
    if not value.isdecimal():
        raise CommandError("Expected a number of messages.")
    return {field: int(value)}


COMMAND = Command(
    name="chatgpt", summary="answers by a language model", arguments="[on|off|set model|prompt|memory VALUE]",
    run=chatgpt, owners_only=True,
)  # fmt: skip

"""`.chatgpt`: answers by a language model.

Neither the key nor the address of the model can be set from a chat: whoever could change the address would get the key.
"""

import msgspec

from bot_runtime.commands.base import Command, CommandError, Invocation
from bot_runtime.commands.switches import on_or_off

_SETTABLE = {"model": "model", "prompt": "system_prompt", "memory": "memory_messages"}


async def chatgpt(invocation: Invocation) -> str:
    """Show it, switch it on or off, or set a part of it."""
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
        raise CommandError("Set one of: model NAME, prompt TEXT, memory MESSAGES.")
    if field != "memory_messages":
        return {field: value}
    if not value.isdecimal():
        raise CommandError("The memory is a number of messages.")
    return {field: int(value)}


COMMAND = Command(
    name="chatgpt", summary="answers by a language model", arguments="[on|off|set model|prompt|memory VALUE]",
    run=chatgpt, owners_only=True,
)  # fmt: skip

"""Commands that show a setting and switch it on or off."""

from bot_runtime.commands.base import Command, CommandError, Invocation

_WORDS = {"on": True, "off": False}


def switch(name: str, field: str, what: str) -> Command:
    """A command for the boolean `field` of the settings; `what` describes it in a sentence."""

    async def run(invocation: Invocation) -> str:
        if invocation.args:
            invocation.host.change_settings(**{field: on_or_off(invocation.args)})
        return f"{name} is {'on' if getattr(invocation.host.settings, field) else 'off'}: {what}"

    return Command(name=name, summary=what, arguments="[on|off]", run=run, owners_only=True)


def on_or_off(text: str) -> bool:
    """Parse "on" or "off". Raises `CommandError`."""
    value = _WORDS.get(text.lower())
    if value is None:
        raise CommandError("Expected on or off.")
    return value

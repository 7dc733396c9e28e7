"""`.prefix`: what commands start with."""

from bot_runtime.commands.base import Command, CommandError, Invocation


async def prefix(invocation: Invocation) -> str:
    """Show or change it."""
    wanted = invocation.args.removeprefix("set ").strip()
    if wanted:
        if len(wanted.split()) != 1:
            raise CommandError("A prefix has no blanks in it.")
        invocation.host.change_settings(prefix=wanted)
    return f"Commands start with {invocation.host.settings.prefix}"


COMMAND = Command(
    name="prefix", summary="shows or changes what commands start with", arguments="[set PREFIX]", run=prefix,
    owners_only=True,
)  # fmt: skip

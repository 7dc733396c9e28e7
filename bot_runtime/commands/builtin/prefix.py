"""`.prefix`: show or change the prefix of commands."""

from bot_runtime.commands.base import Command, CommandError, Invocation


async def prefix(invocation: Invocation) -> str:
    """Show or change the prefix."""
    new = invocation.args.removeprefix("set ").strip()
    if new:
        if len(new.split()) != 1:
            raise CommandError("A prefix cannot contain spaces.")
        invocation.host.change_settings(prefix=new)
    return f"Commands start with {invocation.host.settings.prefix}"


COMMAND = Command(
    name="prefix", summary="shows or changes the prefix of commands", arguments="[set PREFIX]", run=prefix,
    owners_only=True,
)  # fmt: skip

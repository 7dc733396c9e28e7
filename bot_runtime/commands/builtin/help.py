"""`.help`: list the commands."""

from bot_runtime.commands.base import Command, CommandError, Invocation


async def show_help(invocation: Invocation) -> str:
    """All commands, or one."""
    from bot_runtime.commands.builtin import built_in

    settings, commands = invocation.host.settings, built_in()
    if invocation.args:
        command = commands.get(invocation.args.lower().removeprefix(settings.prefix))
        if command is None:
            raise CommandError(f"Unknown command: {invocation.args[:32]}")
        return _line(command, settings.prefix)
    lines = [f"*{settings.name or 'Commands'}*"]
    lines += [_line(command, settings.prefix) for command in commands.values() if not command.owners_only]
    lines += [f"{settings.prefix}{custom.name}" for custom in settings.commands if custom.name not in commands]
    if invocation.by_owner:
        lines += ["", "*For owners*"]
        lines += [_line(command, settings.prefix) for command in commands.values() if command.owners_only]
    return "\n".join(lines)


def _line(command: Command, prefix: str) -> str:
    arguments = f" {command.arguments}" if command.arguments else ""
    return f"{prefix}{command.name}{arguments} – {command.summary}"


COMMAND = Command(name="help", summary="shows the commands", arguments="[command]", run=show_help)

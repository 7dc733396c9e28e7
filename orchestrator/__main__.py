"""The command line: `botdock api | controller | all | migrate | key | server | volumes`.

Without installing: `python -m orchestrator …`.

Each process imports only what it runs: the api never loads the Docker library.
"""

import argparse
import asyncio
import logging
import re
import signal
import sys
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bot_runtime.contract import SERVER_NAME_PATTERN
from orchestrator import __version__, logs, settings
from orchestrator.descriptors import needed_descriptors, raise_limit
from orchestrator.errors import BotdockError
from orchestrator.serving import serve
from orchestrator.settings import Settings
from orchestrator.states import Role
from orchestrator.validation_messages import validation_message

EXIT_CANNOT_START = 2

log = logging.getLogger("orchestrator")


def main() -> int:
    """Run the command. The exit code is 0 after a clean stop and 2 if it could not start."""
    parser = argparse.ArgumentParser(
        prog="botdock",
        description="Run a fleet of WhatsApp bots, one Docker container per approved bot. "
        "Settings come from the environment; see docs/settings.md.",
    )
    parser.add_argument("--version", action="version", version=f"botdock {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("api", help="serve the REST API")
    commands.add_parser("controller", help="run the bots of one server (needs the Docker socket)")
    commands.add_parser("all", help="run both in one process, for development")
    commands.add_parser("migrate", help="migrate the database to the current revision; prints the first admin key once")
    key = commands.add_parser("key", help="create an API key and print it once, for when no admin key is left")
    key.add_argument("--name", required=True, type=_key_name, help="what the key is for")
    key.add_argument("--role", required=True, choices=[str(role) for role in Role], help="what the key may do")
    key.add_argument(
        "--server", type=_server_name, help="the server of an operator or viewer key; omit it for an admin key"
    )
    server = commands.add_parser("server", help="change which engine runs the bots of a server")
    actions = server.add_subparsers(dest="action", required=True, metavar="ACTION")
    rebind = actions.add_parser("rebind", help="bind a server to this host's engine: its bots start here from now on")
    rebind.add_argument("name", metavar="NAME", type=_server_name, help="the server")
    rebind.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    volumes = commands.add_parser("volumes", help="the bots' volumes on this host's engine, which hold their sessions")
    volumes.add_argument("--server", type=_server_name, help="the server; default: the setting SERVER_NAME")
    actions = volumes.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="list them, with their bots")
    adopt = actions.add_parser("adopt", help="give an orphaned volume to the bot that has the id now")
    adopt.add_argument("name", metavar="VOLUME", help="its name, from `volumes list`")
    remove = actions.add_parser("remove", help="delete an orphaned volume, with the session on it")
    remove.add_argument("name", metavar="VOLUME", help="its name, from `volumes list`")
    remove.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    arguments = parser.parse_args()
    command = arguments.command
    try:
        loaded = settings.load()
        logs.configure(loaded.log_level)
        if command == "migrate":
            _migrate(loaded)
        elif command == "key":
            from orchestrator.cli.key import create as create_key

            asyncio.run(create_key(loaded, name=arguments.name, role=Role(arguments.role), server=arguments.server))
        elif command == "server":
            from orchestrator.cli.server import rebind as rebind_server

            asyncio.run(rebind_server(loaded, server=arguments.name, yes=arguments.yes))
        elif command == "volumes":
            asyncio.run(_volumes(loaded, arguments))
        else:
            import uvloop

            raise_limit(needed_descriptors(loaded, controller=command != "api"))
            uvloop.run(_serve(loaded, api=command in {"api", "all"}, controller=command in {"controller", "all"}))
    except BotdockError as exc:
        print(f"botdock: {exc.message}", file=sys.stderr)  # noqa: T201
        return EXIT_CANNOT_START
    return 0


def _server_name(value: str) -> str:
    if re.fullmatch(SERVER_NAME_PATTERN, value) is None:
        raise argparse.ArgumentTypeError(f"the name of a server must match {SERVER_NAME_PATTERN}")
    return value


def _key_name(value: str) -> str:
    from orchestrator.api.fields import Name

    try:
        return TypeAdapter[str](Name).validate_python(value)
    except ValidationError as exc:
        raise argparse.ArgumentTypeError(validation_message(exc.errors()[0])) from None


def _migrate(loaded: Settings) -> None:
    from orchestrator.db.migrate import migrate_when_reachable

    done = migrate_when_reachable(loaded)
    log.info("the database is at revision %s", done.revision)
    if done.first_key is not None:
        print("The first admin key. It is shown only once and is not stored:")  # noqa: T201
        print(f"BOTDOCK_API_KEY={done.first_key}", flush=True)  # noqa: T201


async def _volumes(loaded: Settings, arguments: argparse.Namespace) -> None:
    from orchestrator.cli import volumes

    if arguments.server:
        loaded = loaded.model_copy(update={"server_name": arguments.server})
    match arguments.action:
        case "list":
            await volumes.list_all(loaded)
        case "adopt":
            await volumes.adopt(loaded, name=arguments.name)
        case "remove":
            await volumes.remove(loaded, name=arguments.name, yes=arguments.yes)


async def _serve(loaded: Settings, *, api: bool, controller: bool) -> None:
    """Run until SIGTERM or SIGINT, or until a part ends by itself and raises its error."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    parts: list[asyncio.Task[Any]] = [asyncio.create_task(stop.wait())]
    if controller:
        from orchestrator.controller.process import run_controller

        parts.append(asyncio.create_task(run_controller(loaded)))
    if api:
        from orchestrator.api.app import create_app

        api_app, pool = create_app(loaded), loaded.bot_network_pool
        parts.append(asyncio.create_task(serve(api_app, host=loaded.api_host, port=loaded.api_port, closed_to=pool)))
    done, running = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    for part in running:
        part.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for part in done:
        part.result()


if __name__ == "__main__":
    sys.exit(main())

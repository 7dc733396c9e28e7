"""Stopping and removing: `down` keeps all data, `clean` removes everything of ours and nothing else.

What is ours is told by label: compose's project on the stack's parts, `botdock.owner` and `botdock.server` on what
controllers made. Only one Botdock on an engine can have a server of a given name, because the name of the server's
network is taken then.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass

from tests.demo import stack as stacks
from tests.demo.stack import PROJECT, STATE, Stack, run
from tests.demo.terminal import Terminal

STOP_SECONDS = 10
COMPOSE_LABEL = "com.docker.compose.project"
TITLE_LABEL = "org.opencontainers.image.title"
BUILD_DIRECTORY = PROJECT / "images" / ".build"

_COLUMNS = {
    "BOT": '{{.Label "botdock.bot-id"}}',
    "SERVER": '{{.Label "botdock.server"}}',
    "STATUS": "{{.Status}}",
    "CONTAINER": "{{.Names}}",
    "ID": "{{.ID}}",
    "IMAGE": "{{.Image}}",
}


def fleet_table(server: str | None = None) -> str:
    """`docker ps` of the bot containers, of one server or of all."""
    filters = ["--filter", "label=botdock.bot-id", *(["--filter", f"label=botdock.server={server}"] if server else [])]
    rows = _docker("ps", "--all", *filters, "--format", r"\t".join(_COLUMNS.values()))
    table = [list(_COLUMNS), *sorted(row.split("\t") for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in lines)


def down(terminal: Terminal, name: str | None = None) -> None:
    """Stop the stacks and their bots; databases, sessions and keys stay. `name`: only that demo."""
    for stack in [stacks.demo(name)] if name else [stacks.demo(), stacks.real()]:
        _down(terminal, stack)
    terminal.say("stopped; all data is kept ('make demo' or 'make up' starts again, 'make clean' removes everything)")


def _down(terminal: Terminal, stack: Stack) -> None:
    services = stack.compose("ps", "--all", "--services").split()
    if "controller" in services:
        stack.compose("stop", "controller")  # first, or it would bring the bots back
    server = f"label=botdock.server={stack.server()}"
    bots = _docker("ps", "--all", "--quiet", "--filter", server, "--filter", "label=botdock.bot-id")
    if bots:
        _docker("stop", "--time", str(STOP_SECONDS), *bots)
        _docker("rm", "--force", *bots)
    if services:
        stack.compose("--profile", "simulator", "down", "--remove-orphans")
    networks = _docker("network", "ls", "--quiet", "--filter", server)
    if networks:
        _docker("network", "rm", *networks)
    if bots or services:
        terminal.say(f"{stack.project}: {len(bots)} bots and {len(services)} services stopped")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing in the engine: how ours are listed, and how they are removed."""

    name: str
    ours: dict[str, str]
    """Name by id."""
    remove: tuple[str, ...]


def ours(name: str | None = None) -> list[Kind]:
    """Everything of ours in the engine (of one demo: all but images), in the order in which it can be removed."""
    if name:
        labels = [f"botdock.server={name}", f"{COMPOSE_LABEL}={stacks.demo(name).project}"]
    else:
        labels = ["botdock.owner", *(f"{COMPOSE_LABEL}={stack.project}" for stack in (stacks.demo(), stacks.real()))]
    return [
        Kind("containers", _labelled(("ps", "--all"), "{{.ID}}\t{{.Names}}", labels), ("rm", "--force")),
        Kind("networks", _labelled(("network", "ls"), "{{.ID}}\t{{.Name}}", labels), ("network", "rm")),
        Kind("volumes", _labelled(("volume", "ls"), "{{.Name}}\t{{.Name}}", labels), ("volume", "rm")),
        Kind("images", {} if name else _images(), ("rmi", "--force")),
    ]


def _images() -> dict[str, str]:
    """The images named `botdock/…`, and former ones that lost that name to a newer build."""
    named = _docker("images", "--format", "{{.Repository}}:{{.Tag}}", "botdock/*")
    found = {name: name for name in named if not name.endswith(":<none>")}
    nameless = _docker("images", "--quiet", "--filter", "dangling=true", "--filter", f"label={TITLE_LABEL}")
    form = f'{{{{index .Config.Labels "{TITLE_LABEL}"}}}}'
    for image in nameless:
        title = " ".join(_docker("image", "inspect", "--format", form, image))
        if title.startswith("Botdock "):
            found[image] = f"{image} ({title}, replaced)"
    return found


def clean(terminal: Terminal, name: str | None = None, *, dry_run: bool = False) -> None:
    """Remove everything of ours, databases and sessions too. `name`: only that demo; `dry_run`: only say what."""
    removed = "would remove" if dry_run else "removed"
    if not dry_run:
        for stack in [stacks.demo(name)] if name else [stacks.demo(), stacks.real()]:
            _down(terminal, stack)
    for kind in ours(name):
        if kind.ours:
            if not dry_run:
                _docker(*kind.remove, *kind.ours)
            terminal.say(f"{removed} {len(kind.ours)} {kind.name}: {', '.join(sorted(kind.ours.values()))}")
    for path in [stacks.demo(name).key_file] if name else [STATE, BUILD_DIRECTORY]:
        if path.exists():
            if not dry_run:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            terminal.say(f"{removed} {path.relative_to(PROJECT)}")
    terminal.say(f"{removed} nothing else; the Docker engine and .venv stay")


def _labelled(command: Iterable[str], form: str, labels: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for label in labels:
        rows = _docker(*command, "--filter", f"label={label}", "--format", form)
        found |= dict(row.split("\t") for row in rows)
    return found


def _docker(*arguments: str) -> list[str]:
    return run(["docker", *arguments], what=f"'docker {arguments[0]}'", timeout=300).splitlines()

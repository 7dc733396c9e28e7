"""Stopping and removing a checkout's stacks: `down` stops, `clean` removes demos and images, `purge` deletes the data.

Only this checkout's own stacks are touched (see `checkouts`). Their parts carry labels: compose's project on the
services, `botdock.server` on what the controller created. Images are this checkout's if the engine still holds the ids
that it built.
"""

import json
import shutil
from collections.abc import Iterable, Sized
from dataclasses import dataclass

from tests.demo import checkouts
from tests.demo import stack as stacks
from tests.demo.stack import PROJECT, Stack, run
from tests.demo.terminal import DemoError, Terminal

STOP_SECONDS = 10
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


def demos(name: str | None = None) -> list[Stack]:
    """The demo of this name, or all of this checkout."""
    if name:
        return [stacks.demo(name)]
    projects = checkouts.own_projects() - {stacks.real().project} | {"botdock-demo"}
    return [stacks.demo(project.removeprefix("botdock-")) for project in sorted(projects)]


def down(terminal: Terminal, name: str | None = None) -> None:
    """Stop this checkout's stacks and their bots; databases, sessions and keys stay. `name`: only that demo."""
    for stack in [*demos(name), *([] if name else [stacks.real()])]:
        if _is_ours(terminal, stack):
            _down(terminal, stack)
    terminal.say(
        "stopped; all data stay ('make demo' and 'make up' start again; 'make clean' removes the demo, 'make purge' "
        "the data of 'make up')"
    )


def _is_ours(terminal: Terminal, stack: Stack) -> bool:
    other = checkouts.other_checkout(stack)
    if other is not None:
        terminal.say(f"{stack.project} belongs to the checkout {other}: not touched")
    return other is None and (
        stack.key_file.exists() or any(checkouts.holder(name) is not None for name in checkouts.names(stack))
    )


def _down(terminal: Terminal, stack: Stack) -> None:
    services = stack.compose("ps", "--all", "--services").split()
    if "controller" in services:
        stack.compose("stop", "controller")  # first, or it would start the bots again
    server = f"label=botdock.server={stack.server}"
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
        terminal.say(f"{stack.project}: {_count(bots, 'bots')} and {_count(services, 'services')} stopped")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object in the engine: a stack's objects of this kind, and the command that removes them."""

    name: str
    found: dict[str, str]
    """Name by id."""
    remove: tuple[str, ...]

    def __str__(self) -> str:
        return f"{_count(self.found, self.name)}: {', '.join(sorted(self.found.values()))}"


def parts(stack: Stack) -> list[Kind]:
    """A stack's containers, networks and volumes, in the order in which they can be removed."""
    labels = [f"botdock.server={stack.server}", f"{checkouts.COMPOSE_LABEL}={stack.project}"]
    return [
        Kind("containers", _labelled(("ps", "--all"), "{{.ID}}\t{{.Names}}", labels), ("rm", "--force")),
        Kind("networks", _labelled(("network", "ls"), "{{.ID}}\t{{.Name}}", labels), ("network", "rm")),
        Kind("volumes", _labelled(("volume", "ls"), "{{.Name}}\t{{.Name}}", labels), ("volume", "rm")),
    ]


def _remove(terminal: Terminal, stack: Stack) -> None:
    """Remove a stack with its data, its key file and its claim on its names."""
    _down(terminal, stack)
    for kind in parts(stack):
        if kind.found:
            _docker(*kind.remove, *kind.found)
            terminal.say(f"removed {kind}")
    checkouts.release(stack)
    if stack.key_file.exists():
        stack.key_file.unlink()
        terminal.say(f"removed {stack.key_file.relative_to(PROJECT)}")


def clean(terminal: Terminal, name: str | None = None, *, dry_run: bool = False) -> None:
    """Remove this checkout's demos and what it built; the data of `make up` stay.

    `name`: only that demo, and nothing that was built; `dry_run`: only print what would be removed.
    """
    for stack in demos(name):
        if not _is_ours(terminal, stack):
            continue
        if dry_run:
            for kind in parts(stack):
                if kind.found:
                    terminal.say(f"would remove {kind}")
        else:
            _remove(terminal, stack)
    if not name:
        _clean_built(terminal, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    terminal.say(f"{verb} nothing else: the data of 'make up' ('make purge' deletes them), the engine and .venv stay")


def _clean_built(terminal: Terminal, *, dry_run: bool) -> None:
    ours, others = built_images()
    for image in [*ours]:
        # Without force, so that an image in use stays.
        if not dry_run and _rmi(image):
            ours.remove(image)
            terminal.say(f"left {image}, which a container uses")
    verb = "would remove" if dry_run else "removed"
    if ours:
        terminal.say(f"{verb} {_count(ours, 'images')}: {', '.join(ours)}")
    if others:
        terminal.say(f"left {_count(others, 'images')} that another checkout built: {', '.join(others)}")
    if BUILD_DIRECTORY.exists():
        if not dry_run:
            shutil.rmtree(BUILD_DIRECTORY)
        terminal.say(f"{verb} {BUILD_DIRECTORY.relative_to(PROJECT)}")


def built_images() -> tuple[list[str], list[str]]:
    """The images named `botdock/…` in the engine, and former ones without a name: this checkout's, and all others."""
    record = BUILD_DIRECTORY / "loaded.json"
    loaded: dict[str, list[object]] = json.loads(record.read_text()) if record.exists() else {}
    built = {
        f"botdock/{image}:{tag}": identifier
        for tag, (_, identifiers) in loaded.items()
        if isinstance(identifiers, dict)
        for image, identifier in identifiers.items()
    }
    named = _docker("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", "botdock/*")
    held = dict(row.split() for row in named if not row.startswith("<none>") and ":<none>" not in row)
    ours = sorted(name for name, identifier in held.items() if built.get(name) == identifier)
    replaced_file = BUILD_DIRECTORY / "replaced"
    replaced = set(replaced_file.read_text().split()) if replaced_file.exists() else set()
    nameless = _docker("images", "--no-trunc", "--quiet", "--filter", "dangling=true")
    return [*ours, *sorted(replaced.intersection(nameless))], sorted(held.keys() - set(ours))


def _rmi(image: str) -> bool:
    """Remove an image; True if it stays because a container uses it."""
    try:
        _docker("rmi", image)
    except DemoError as exc:
        if "conflict" in str(exc).lower() or "is using" in str(exc).lower():
            return True
        raise
    return False


def purge(terminal: Terminal) -> None:
    """Delete the databases, keys and sessions of `make up`, after listing them and asking (YES=1: without asking)."""
    stack = stacks.real()
    other = checkouts.other_checkout(stack)
    if other is not None:
        raise DemoError(f"{stack.project} belongs to the checkout {other}; run 'make purge' there")
    found = parts(stack) if _is_ours(terminal, stack) else []
    if not stack.key_file.exists() and not any(kind.found for kind in found):
        terminal.say("'make up' has no data in this engine; nothing to delete")
        return
    terminal.show(f"\nThis deletes, for good, the stack {stack.project} with the server {stack.server}:\n")
    for line in contents(stack, found):
        terminal.show(f"  {line}")
    terminal.show("")
    terminal.confirm("There is no way back.")
    _remove(terminal, stack)
    terminal.say("the data of 'make up' are deleted")


def contents(stack: Stack, found: Iterable[Kind]) -> list[str]:
    """What a stack's data are, a line each."""
    lines = []
    for kind in found:
        if kind.name != "volumes":
            lines += [f"{len(kind.found):<32} {kind.name}"] if kind.found else []
            continue
        sessions = sorted(
            volume
            for volume in kind.found
            if volume.startswith((f"botdock-{stack.server}-", f"botdock-{stack.server}."))
        )
        for volume in sorted(kind.found.keys() - set(sessions)):
            what = "the database: API keys, bots, messages, events" if volume.endswith("_postgres") else "data"
            lines.append(f"{volume:<32} {what}")
        lines += [f"{volume:<32} a WhatsApp session: its phone has to scan a QR code again" for volume in sessions]
    if stack.key_file.exists():
        lines.append(f"{stack.key_file.relative_to(PROJECT)!s:<32} the API's address and admin key")
    if stack.external_database:
        lines.append(f"{'(not deleted)':<32} the database at DATABASE_URL")
    return lines


def _count(items: Sized, plural: str) -> str:
    """`2 images`, `1 image`."""
    return f"{len(items)} {plural.removesuffix('s') if len(items) == 1 else plural}"


def _labelled(command: Iterable[str], form: str, labels: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for label in labels:
        rows = _docker(*command, "--filter", f"label={label}", "--format", form)
        found |= dict(row.split("\t") for row in rows)
    return found


def _docker(*arguments: str) -> list[str]:
    return run(["docker", *arguments], what=f"'docker {arguments[0]}'", timeout=300).splitlines()

"""Which checkout a stack in the engine belongs to, so that two checkouts on one engine leave each other's data alone.

A stack takes names that exist once per engine: its compose project, and its server's network and bot containers
(`botdock-{server}…`). The first start claims both with a marker volume each, `{name}_checkout`, whose labels name the
checkout and the stack. Another checkout that needs one of the names gets an error; `down`, `clean` and `purge` act on
a checkout's own stacks only.

A stack that was started without a marker (by `docker compose up`) belongs to the checkout in the label that compose
puts on its containers.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.demo.stack import PROJECT, Stack, call, run
from tests.demo.terminal import DemoError

CHECKOUT_LABEL = "botdock.checkout"
STACK_LABEL = "botdock.stack"
COMPOSE_LABEL = "com.docker.compose.project"
_WORKING_DIRECTORY_LABEL = "com.docker.compose.project.working_dir"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a name: a checkout's path, and the compose project it uses the name for ("" if unknown)."""

    checkout: str
    project: str


def names(stack: Stack) -> list[str]:
    """The names that the stack takes in the engine."""
    return sorted({stack.project, f"botdock-{stack.server}"})


def marker(name: str) -> str:
    """The volume that marks a name as taken."""
    return f"{name}_checkout"


def holder(name: str) -> Holder | None:
    """Who has the name; None if nobody does."""
    form = f'{{{{index .Labels "{CHECKOUT_LABEL}"}}}}\t{{{{index .Labels "{STACK_LABEL}"}}}}'
    inspected = call(["docker", "volume", "inspect", "--format", form, marker(name)])
    if inspected.returncode == 0:
        checkout, _, project = inspected.stdout.rstrip("\n").partition("\t")
        return Holder(checkout, project)
    form = f'{{{{.Label "{_WORKING_DIRECTORY_LABEL}"}}}}\t{{{{.Label "{COMPOSE_LABEL}"}}}}'
    for option in (f"label={COMPOSE_LABEL}={name}", f"network={name}"):
        for row in _docker("ps", "--all", "--filter", option, "--format", form):
            checkout, _, project = row.partition("\t")
            if checkout:
                return Holder(checkout, project)
    return None


def other_checkout(stack: Stack) -> str | None:
    """The path of another checkout that has one of the stack's names."""
    for name in names(stack):
        found = holder(name)
        if found is not None and found.checkout != str(PROJECT):
            return found.checkout
    return None


def claim(stack: Stack) -> None:
    """Take the stack's names for this checkout. Raises DemoError if another checkout or stack has one of them."""
    for name in names(stack):
        found = holder(name)
        if found is None and name != stack.project and _server_is_taken(stack, name):
            raise DemoError(f"another Botdock on this engine has a server '{stack.server}'; {_advice(stack)}")
        if found is not None and found.checkout != str(PROJECT):
            gone = "" if Path(found.checkout).exists() else f", or run 'docker volume rm {marker(name)}' if it is gone"
            raise DemoError(f"'{name}' on this engine belongs to the checkout {found.checkout}; {_advice(stack)}{gone}")
        if found is not None and found.project not in {"", stack.project}:
            raise DemoError(f"'{name}' is used by this checkout's stack {found.project}; {_advice(stack)}")
    for name in names(stack):
        labels = {CHECKOUT_LABEL: str(PROJECT), STACK_LABEL: stack.project}
        options = [part for key, value in labels.items() for part in ("--label", f"{key}={value}")]
        _docker("volume", "create", *options, marker(name))


def release(stack: Stack) -> None:
    """Give the stack's names back, so that any checkout may take them."""
    for name in names(stack):
        found = holder(name)
        if found is not None and found.checkout == str(PROJECT):
            call(["docker", "volume", "rm", marker(name)])


def own_projects() -> set[str]:
    """The compose projects that this checkout has claimed."""
    rows = _docker(
        *("volume", "ls", "--filter", f"label={CHECKOUT_LABEL}={PROJECT}"),
        *("--format", f'{{{{.Label "{STACK_LABEL}"}}}}'),
    )
    return {row for row in rows if row}


def _server_is_taken(stack: Stack, network: str) -> bool:
    """Whether the server's network is there before the stack has anything at all."""
    own = f"label={COMPOSE_LABEL}={stack.project}"
    if _docker("volume", "ls", "--quiet", "--filter", own) or _docker("ps", "--all", "--quiet", "--filter", own):
        return False
    return network in _docker("network", "ls", "--filter", f"name={network}", "--format", "{{.Name}}")


def _advice(stack: Stack) -> str:
    if stack.target == "demo":
        return "choose another name: 'make demo DEMO=second BOTDOCK_PORT=8100 SIMULATOR_PORT=8190'"
    return "choose other names: put COMPOSE_PROJECT_NAME=botdock-second and SERVER_NAME=second into .env"


def _docker(*arguments: str) -> list[str]:
    return run(["docker", *arguments], what=f"'docker {arguments[0]}'").splitlines()

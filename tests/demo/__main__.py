"""`python -m tests.demo demo | up | down | clean | purge | ps`: what the targets of the Makefile run.

`down`, `clean`, `purge` and `ps` need nothing but Python; the others need the development environment (`make venv`).
"""

import argparse
import sys

from tests.demo import housekeeping
from tests.demo.terminal import DemoError, Terminal


def main() -> int:
    """Run one command; if it fails, the last line says what to do."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("command", choices=["demo", "up", "down", "clean", "purge", "ps"])
    parser.add_argument("--name", help="name of the demo, to run several at once (default: demo)")
    parser.add_argument("--dry-run", action="store_true", help="clean: only print what would be removed")
    arguments = parser.parse_args()
    terminal = Terminal(arguments.command)
    try:
        _run(terminal, arguments.command, name=arguments.name, dry_run=arguments.dry_run)
    except DemoError as exc:
        print(f"{arguments.command}: FAILED: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{arguments.command}: interrupted; run it again to continue, or 'make down'", file=sys.stderr)
        return 130
    return 0


def _run(terminal: Terminal, command: str, *, name: str | None, dry_run: bool) -> None:
    match command:
        case "down":
            housekeeping.down(terminal, name)
        case "clean":
            housekeeping.clean(terminal, name, dry_run=dry_run)
        case "purge":
            housekeeping.purge(terminal)
        case "ps":
            terminal.show(housekeeping.fleet_table(name))
        case _:
            from tests.demo import show

            if command == "demo":
                show.demo(terminal, name or "demo")
            else:
                show.up(terminal)


if __name__ == "__main__":
    sys.exit(main())

"""Output at the terminal: steps with their durations, questions, and one last line when a command fails."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class DemoError(Exception):
    """The command cannot continue; the message says what is wrong and what to do."""


class Terminal:
    """Writes the lines of one command."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """One line with the seconds since the start."""
        print(f"{self._command}: [{self.seconds:5.1f}s] {text}", flush=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """A step that may take a while: a line when it begins, and one with its duration when it is done."""
        self.say(text)
        began = time.monotonic()
        yield
        self.say(f"  done in {time.monotonic() - began:.1f} s")

    def show(self, text: str) -> None:
        """Text as it is, such as a table."""
        print(text, flush=True)

    def confirm(self, question: str) -> None:
        """Return once somebody has typed `yes`, or at once with YES=1. Raises DemoError otherwise."""
        if os.environ.get("YES") == "1":
            return
        if not sys.stdin.isatty():
            raise DemoError(f"nothing was changed; confirm with 'make {self._command} YES=1'")
        if input(f"{question} Type 'yes' to continue: ").strip().lower() != "yes":
            raise DemoError("nothing was changed")

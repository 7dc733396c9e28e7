"""What a person at the terminal sees: steps with their times, and one last line where something cannot go on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Failure(Exception):
    """It cannot go on: the message says what is wrong and what to do."""


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
        """A step that may take a while: a line when it begins, and one with its time when it is done."""
        self.say(text)
        began = time.monotonic()
        yield
        self.say(f"  done in {time.monotonic() - began:.1f} s")

    def show(self, text: str) -> None:
        """Text as it is, such as a table."""
        print(text, flush=True)

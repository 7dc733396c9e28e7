"""Where a build keeps its files, how it caches them, and how it runs programs and reports progress."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from images.builder.errors import BuildError

PROJECT = Path(__file__).resolve().parents[2]
IMAGES = PROJECT / "images"
PLATFORMS = {"linux/amd64": "amd64", "linux/arm64": "arm64"}


def digest(*parts: str | bytes | Path) -> str:
    """A hash over texts and over files and directories, each with its content and relative names."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            files = sorted(path for path in part.rglob("*") if _is_source(path)) if part.is_dir() else [part]
            for file in files:
                total.update(f"\0file {file.relative_to(part)}\0".encode())
                total.update(file.read_bytes())
        else:
            total.update(b"\0text\0" + (part.encode() if isinstance(part, str) else part))
    return total.hexdigest()


def _is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


@dataclass(slots=True)
class Workspace:
    """One build directory: `layers/` for what the Dockerfiles add, `work/` for what comes before, `sbom/`.

    Botdock's own source is read below `project`.
    """

    root: Path = IMAGES / ".build"
    project: Path = PROJECT
    quiet: bool = False
    started: float = field(default_factory=time.monotonic)
    _printing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def layers(self) -> Path:
        return self.root / "layers"

    @property
    def stamps(self) -> Path:
        return self.root / "stamps"

    @property
    def sbom(self) -> Path:
        return self.root / "sbom"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other build uses this directory, and keep others waiting meanwhile."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say("waiting for another build to end")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def scratch(self, name: str) -> Path:
        """An empty working directory of this name."""
        path = self.root / "work" / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def say(self, message: str) -> None:
        """One line of progress with the seconds since the start."""
        if not self.quiet:
            with self._printing:
                sys.stdout.write(f"images: [{time.monotonic() - self.started:5.1f}s] {message}\n")
                sys.stdout.flush()

    def cached(self, name: str, key: str, make: Callable[[], None]) -> bool:
        """Run `make` unless it already ran to its end with this key; True where it ran."""
        stamp = self.stamps / name
        if stamp.exists() and stamp.read_text() == key:
            return False
        stamp.unlink(missing_ok=True)
        make()
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(key)
        return True


def run(command: Sequence[str | Path], *, what: str, env: Mapping[str, str] | None = None) -> str:
    """The standard output of a program.

    Raises BuildError with the last lines the program wrote when it fails or does not exist.
    """
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=env, cwd=PROJECT)  # noqa: S603
    except FileNotFoundError as error:
        raise BuildError(f"{what}: {command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        tail = "\n".join((error.stderr or error.stdout).strip().splitlines()[-6:])
        raise BuildError(f"{what} failed: {tail or f'exit code {error.returncode}'}") from error
    return done.stdout

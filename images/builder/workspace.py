"""The build directory: its files and cache, and how a build runs programs and reports progress."""

import fcntl
import hashlib
import os
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
    """One build directory: `layers/` for what the Dockerfiles add, `work/` for intermediate files, `sbom/`.

    Botdock's own source is read from `project`. `base_max_age_days` is the age after which Debian's packages are
    fetched again.
    """

    root: Path = IMAGES / ".build"
    project: Path = PROJECT
    base_max_age_days: float = 7
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
        """Hold the lock on this directory, so that builds run one after the other."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say("waiting for another build to finish")
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

    def is_current(self, name: str, key: str) -> bool:
        """Whether the step completed with this key."""
        stamp = self.stamps / name
        return stamp.exists() and stamp.read_text() == key

    def age_days(self, name: str) -> float:
        """Days since the step completed."""
        return (time.time() - (self.stamps / name).stat().st_mtime) / 86_400

    def cached(self, name: str, key: str, make: Callable[[], None]) -> bool:
        """Run `make` unless it completed with this key before; returns whether it ran."""
        stamp = self.stamps / name
        if self.is_current(name, key):
            return False
        stamp.unlink(missing_ok=True)
        make()
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(key)
        return True


def give_to_owner_of_checkout(directory: Path) -> None:
    """Let the checkout's owner have what root has built in it (`sudo make images`)."""
    owner = PROJECT.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for path in [directory, *directory.rglob("*")]:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def run(command: Sequence[str | Path], *, what: str, env: Mapping[str, str] | None = None) -> str:
    """The standard output of a program.

    Raises BuildError with the program's last lines if it fails or is not installed.
    """
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=env, cwd=PROJECT)  # noqa: S603
    except FileNotFoundError as exc:
        raise BuildError(f"{what}: {command[0]} is not installed") from exc
    except subprocess.CalledProcessError as exc:
        tail = "\n".join((exc.stderr or exc.stdout).strip().splitlines()[-6:])
        raise BuildError(f"{what} failed: {tail or f'exit code {exc.returncode}'}") from exc
    return done.stdout

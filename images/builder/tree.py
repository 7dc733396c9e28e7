"""A file tree in memory, and the layer it becomes: the same tree always gives the same bytes.

A layer is an uncompressed tar file, sorted by path, with one fixed timestamp and no user names.
"""

import fnmatch
import io
import re
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

# The timestamp of every file and of the images (1 November 2026); it changes with a release, never with a build.
EPOCH = 1793491200


@dataclass(frozen=True, slots=True)
class TarSlice:
    """The content of a file inside an uncompressed tar file."""

    archive: Path
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a layer; `content` is None for a directory."""

    content: bytes | Path | TarSlice | Link | None
    mode: int
    owner: int = 0

    def read(self) -> bytes:
        """The bytes of a regular file."""
        match self.content:
            case bytes():
                return self.content
            case TarSlice(archive, offset, size):
                with archive.open("rb") as file:
                    file.seek(offset)
                    return file.read(size)
            case Path():
                return self.content.read_bytes()
            case _:
                raise TypeError("only regular files have bytes")


def _pattern(globs: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs) or r"(?!)")


@dataclass(slots=True)
class Tree:
    """Entries by path, relative to the root and without a leading slash."""

    entries: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def from_tar(cls, archive: Path) -> "Tree":
        """The files and links of an uncompressed tar file; devices and directories are ignored."""
        tree = cls()
        with tarfile.open(archive) as tar:
            for member in tar:
                path = member.name.removeprefix("./")
                if member.issym():
                    tree.entries[path] = Entry(Link(member.linkname), 0o777)
                elif member.isreg():
                    tree.entries[path] = Entry(TarSlice(archive, member.offset_data, member.size), member.mode & 0o755)
                elif member.islnk():
                    tree.entries[path] = tree.entries[member.linkname.removeprefix("./")]
        return tree

    @classmethod
    def from_directory(cls, directory: Path, prefix: str = "", *, programs: bool = False) -> "Tree":
        """The files below a directory of this machine, readable by everyone and owned by root.

        Only with `programs` do executable files stay executable; modules and libraries need not be.
        """
        tree = cls()
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                mode = 0o755 if programs and path.stat().st_mode & 0o100 else 0o644
                tree.entries[(PurePosixPath(prefix) / path.relative_to(directory)).as_posix()] = Entry(path, mode)
        return tree

    def keep(self, globs: Iterable[str]) -> None:
        """Remove every path that matches none of the patterns (`*` also matches `/`)."""
        pattern = _pattern(globs)
        self.entries = {path: entry for path, entry in self.entries.items() if pattern.match(path)}

    def drop(self, globs: Iterable[str]) -> None:
        """Remove every path that matches one of the patterns."""
        pattern = _pattern(globs)
        self.entries = {path: entry for path, entry in self.entries.items() if not pattern.match(path)}

    def add(self, other: "Tree") -> None:
        """Lay another tree on top of this one."""
        self.entries.update(other.entries)

    def add_file(self, path: str, content: bytes | Path, *, mode: int = 0o644) -> None:
        self.entries[path] = Entry(content, mode)

    def add_directory(self, path: str, *, mode: int, owner: int = 0) -> None:
        self.entries[path] = Entry(None, mode, owner)

    def add_link(self, path: str, target: str) -> None:
        self.entries[path] = Entry(Link(target), 0o777)

    def size(self) -> int:
        """Bytes of all regular files."""
        return sum(len(entry.read()) for entry in self.entries.values() if _is_file(entry))

    def unpack(self, directory: Path) -> None:
        """Write files and links below a directory of this machine, owned by whoever runs this."""
        for path, entry in self.entries.items():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(entry.content, Link):
                target.symlink_to(entry.content.target)
            elif entry.content is None:
                target.mkdir(exist_ok=True)
            else:
                target.write_bytes(entry.read())
                target.chmod(entry.mode)

    def write(self, archive: Path) -> None:
        """Write the layer; missing parent directories are added, owned by root with mode 0755."""
        entries = dict(self.entries)
        for path in self.entries:
            for parent in PurePosixPath(path).parents:
                if parent.as_posix() != ".":
                    entries.setdefault(parent.as_posix(), Entry(None, 0o755))
        archive.parent.mkdir(parents=True, exist_ok=True)
        partial = archive.with_suffix(".partial")
        with tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as tar:
            for path in sorted(entries):
                info, data = _member(path, entries[path])
                tar.addfile(info, data)
        partial.replace(archive)


def _is_file(entry: Entry) -> bool:
    return entry.content is not None and not isinstance(entry.content, Link)


def _member(path: str, entry: Entry) -> tuple[tarfile.TarInfo, io.BytesIO | None]:
    info = tarfile.TarInfo(path)
    info.mode, info.uid, info.gid, info.mtime = entry.mode, entry.owner, entry.owner, EPOCH
    if entry.content is None:
        info.type = tarfile.DIRTYPE
        return info, None
    if isinstance(entry.content, Link):
        info.type, info.linkname = tarfile.SYMTYPE, entry.content.target
        return info, None
    content = entry.read()
    info.size = len(content)
    return info, io.BytesIO(content)

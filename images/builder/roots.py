"""Roots from Debian packages: unpacked by mmdebstrap for any architecture, then reduced to what the recipe keeps.

A root is built again when its recipe changes, and when it is older than the workspace's `base_max_age_days`, so that
Debian's security updates reach the images. Everything built on it depends on the packages' versions (`Root.key`).
"""

import os
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from images.builder.bytecode import compile_tree, native_architecture
from images.builder.errors import BuildError
from images.builder.sbom import Component, debian_component
from images.builder.tree import Tree
from images.builder.workspace import IMAGES, Workspace, digest, run

_APT = IMAGES / "apt.sh"
_RECIPES = IMAGES / "rootfs"
STDLIB = "usr/lib/python3.13"


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of the image; `mode` in octal digits, `owner` for user and group."""

    path: str
    mode: str
    owner: int = 0


def directories(recipe: dict[str, Any]) -> list[Directory]:
    """The `directories` of a recipe file."""
    return [Directory(**row) for row in recipe.get("directories", [])]


@dataclass(frozen=True, slots=True)
class Root:
    """A finished root of one architecture: its layer, and the directory of its unpacked form and package records."""

    name: str
    arch: str
    layer: Path
    work: Path

    @property
    def key(self) -> str:
        """A hash of the recipe and of the packages' versions."""
        return (self.work / "key").read_text()

    @property
    def unpacked(self) -> Path:
        return self.work / "unpacked"

    def components(self) -> list[Component]:
        """The Debian packages of which the image contains at least one file besides documentation."""
        kept = {path for path in Tree.from_tar(self.layer).entries if not path.startswith("usr/share/doc/")}
        found = []
        for control in sorted((self.work / "record").glob("*.control")):
            files = {_real(line) for line in control.with_suffix(".files").read_text().splitlines()}
            if files & kept:
                found.append(debian_component(control.read_text()))
        return found


def _real(path: str) -> str:
    """A package's path in a root in which /bin, /lib and /sbin are links into /usr."""
    path = path.removeprefix("./")
    return f"usr/{path}" if path.split("/", 1)[0] in {"bin", "lib", "lib64", "sbin"} else path


def require_mmdebstrap() -> None:
    """Install mmdebstrap, and Debian's keys on other distributions, if it is missing and can be installed."""
    need = f". '{_APT}' && apt_need mmdebstrap mmdebstrap debian-archive-keyring"
    run(["sh", "-c", need], what="installing mmdebstrap")


def build_root(workspace: Workspace, name: str, arch: str) -> Root:
    """The root of a recipe in `images/rootfs/` for one architecture; rebuilt if its inputs changed or it is too old."""
    recipe_file, overlay = _RECIPES / f"{name}.toml", _RECIPES / name
    recipe = tomllib.loads(recipe_file.read_text())
    code = Path(__file__).parent
    key = digest(arch, recipe_file, overlay, _RECIPES / "record.sh", *(code / file for file in _CODE))
    work = workspace.root / "work" / f"{name}-{arch}"
    root = Root(name, arch, workspace.layers / f"{name}-{arch}.tar", work)

    def make() -> None:
        workspace.say(f"{name} root for {arch}: fetching {len(recipe['packages'])} packages and their dependencies")
        # A failed download leaves the previous root in place.
        fresh = replace(root, work=workspace.scratch(f"{name}-{arch}.new"))
        tree = Tree.from_tar(_bootstrap(fresh, recipe))
        tree.keep(recipe["keep"])
        tree.drop(recipe["drop"])
        tree.add(Tree.from_directory(overlay, programs=True))
        for directory in directories(recipe):
            tree.add_directory(directory.path, mode=int(directory.mode, 8), owner=directory.owner)
        for link in recipe.get("links", []):
            tree.add_link(link["path"], link["target"])
        tree.unpack(fresh.unpacked)
        # The standard library is shipped without its source, which would be a tenth of the bot image; see add_bytecode.
        tree.drop([f"{STDLIB}/*.py"])
        tree.write(root.layer)
        versions = (control.read_text() for control in sorted((fresh.work / "record").glob("*.control")))
        (fresh.work / "key").write_text(digest(key, *versions))
        size = tree.size() / 1e6
        (fresh.work / "packages.tar").unlink()
        shutil.rmtree(work, ignore_errors=True)
        fresh.work.rename(work)
        workspace.say(f"{name} root for {arch}: {size:.0f} MB")

    stamp = f"{name}-{arch}"
    if workspace.is_current(stamp, key) and workspace.age_days(stamp) > workspace.base_max_age_days:
        _refresh(workspace, stamp, make)
    else:
        workspace.cached(stamp, key, make)
    return root


def _refresh(workspace: Workspace, stamp: str, make: Callable[[], None]) -> None:
    """Build a root with newer packages; without a package archive, warn and continue with the old one."""
    age = workspace.age_days(stamp)
    workspace.say(f"{stamp}: its packages are {age:.0f} days old (BASE_MAX_AGE_DAYS={workspace.base_max_age_days:g})")
    try:
        make()
    except BuildError as exc:
        workspace.say(f"{stamp}: WARNING: continuing with the old packages, because newer ones are unavailable: {exc}")
    else:
        (workspace.stamps / stamp).touch()


_CODE = ("roots.py", "tree.py")


def _bootstrap(root: Root, recipe: dict[str, Any]) -> Path:
    """The packages with their dependencies, unpacked into a tar file by mmdebstrap."""
    archive, record = root.work / "packages.tar", root.work / "record"
    record.mkdir()
    sources = run(["sh", "-c", f". '{_APT}' && apt_release_sources {recipe['suite']}"], what="reading apt's sources")
    command: list[str | Path] = [
        "mmdebstrap",
        "--quiet",
        "--variant=extract",
        f"--arch={root.arch}",
        f"--include={','.join(recipe['packages'])}",
        f'--extract-hook={_RECIPES / "record.sh"} "$1"',
        recipe["suite"],
        archive,
    ]
    # Without sources mmdebstrap chooses Debian's own mirror.
    command += [line for line in sources.splitlines() if line]
    run(command, what=f"the {root.name} root for {root.arch}", env={**os.environ, "RECORD": str(record)})
    return archive


def add_bytecode(workspace: Workspace, root: Root, native: Root) -> None:
    """The layer `python-bytecode-<arch>`: the standard library as bytecode, without source."""
    name = f"{root.name}-bytecode-{root.arch}"

    def make() -> None:
        target = workspace.scratch(name)
        workspace.say(f"compiling the standard library for {root.arch}")
        compile_tree(native.unpacked, root.unpacked / STDLIB, STDLIB, target, replaces_source=True)
        Tree.from_directory(target, STDLIB).write(workspace.layers / f"{name}.tar")

    workspace.cached(name, digest(root.key, native.key, Path(__file__).with_name("bytecode.py")), make)


def native_root(roots: list[Root]) -> Root:
    """The root whose Python runs on this machine."""
    for root in roots:
        if root.arch == native_architecture():
            return root
    raise BuildError("no root of this machine's own architecture was built")
